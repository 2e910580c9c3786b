# One bootstrap for everything: `make demo` and `make test` work on a machine with Python alone.
#   PYTHON           the interpreter of the virtual environment (3.11, 3.12 or 3.13)
#   PIP_FIND_LINKS   a folder or page of wheels, for example of a CPU build of torch

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
STAMP := .venv/.stamp
UV := $(BIN)/uv
# uv does not read pip's configuration, so what pip would find is handed over.
FIND_LINKS := $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)")
# Two threads that fight for a core are many times slower than one.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
CODE := entromask backend worker frontend tests benchmarks docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo up test test-slow test-browser test-faults lint bench docs screenshots lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## the environment alone, in .venv

demo: $(STAMP)  ## random, teacher and self entropy masking, compared, in minutes
	$(BIN)/entromask demo $(if $(EXIT),--exit)

up: $(STAMP)  ## the whole service on this machine; Ctrl-C stops it
	$(BIN)/entromask up

test: $(STAMP)  ## the quick tests: no GPU, browser or PostgreSQL server, and nothing is killed
	$(TEST_ENV) $(BIN)/pytest -n auto -m "not (gpu or browser or faults or slow or postgres)"

test-slow: $(STAMP)  ## those that take long, or a PostgreSQL server: services, simulations
	$(TEST_ENV) $(BIN)/pytest -n auto -m "(slow or postgres) and not (gpu or browser or faults)"

test-browser: $(STAMP)  ## the dashboard over a real service in a real Chromium
	$(TEST_ENV) $(BIN)/pytest tests/browser

test-faults: $(STAMP)  ## whatever part of a service is killed, runs end as if nothing had happened
	$(TEST_ENV) $(BIN)/pytest -n auto --dist loadscope -m "faults and not gpu"

lint: $(STAMP)  ## ruff and mypy, as the CI runs them
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

bench: $(STAMP)  ## beside the Hugging Face Trainer and MLflow; the stack
	$(BIN)/python benchmarks/pretraining.py
	$(BIN)/python benchmarks/masking.py
	$(BIN)/python benchmarks/fine_tuning.py
	$(BIN)/python benchmarks/service.py
	$(BIN)/python benchmarks/stack.py
	$(BIN)/python benchmarks/experiments.py
	$(BIN)/python benchmarks/dashboard.py
	$(BIN)/python benchmarks/estimates.py

docs: $(STAMP)  ## the generated references in docs/
	$(BIN)/python docs/generate.py

screenshots: $(STAMP)  ## the pictures in docs/screenshots, by the browser tests
	$(TEST_ENV) ENTROMASK_SCREENSHOTS=docs/screenshots $(BIN)/pytest tests/browser/test_story.py

# torch brings its own dependencies at installation instead of standing in the lock with them: on
# Linux they are several GB of CUDA packages, which a CPU build of the same version does not want.
lock: $(STAMP)  ## requirements.lock, resolved anew
	echo "torch==2.13.0" > .venv/constraints.txt
	rm -f .venv/resolved.txt
	$(UV) pip compile -q --universal --python-version 3.11 --no-annotate --no-header \
		--constraint .venv/constraints.txt $(FIND_LINKS) --no-emit-find-links \
		--extra dev pyproject.toml -o .venv/resolved.txt
	grep -Ev '^(nvidia-[cn]|triton|cuda-|torch==)' .venv/resolved.txt > .venv/filtered.txt
	cat .venv/filtered.txt .venv/constraints.txt > requirements.lock

clean:  ## away with the environment and the tools' caches; runs stay
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Bytecode is compiled here, as pip does it: where Python may not write any (containers often say so),
# each process would otherwise compile torch and transformers anew, for seconds.
# The stamp holds the hash of what was installed: a touched but unchanged lock installs nothing, and
# an installation that fails leaves no stamp.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "error: Entromask needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)"; \
		echo "hint: name another interpreter, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; } >&2
	@hash=$$(cat requirements.lock pyproject.toml | $(PYTHON) -c \
		'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'); \
	if [ "$$(cat $@ 2>/dev/null)" = "$$hash" ]; then touch $@; exit 0; fi; \
	set -e; rm -f $@; \
	echo "Setting up .venv (once)"; \
	test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
		echo "hint: on Debian and Ubuntu, venv is a package of its own: apt install python3-venv" >&2; \
		rm -rf .venv; exit 1; }; \
	$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION); \
	$(UV) pip install -q --python $(BIN)/python --compile-bytecode $(FIND_LINKS) -r requirements.lock; \
	$(UV) pip install -q --python $(BIN)/python --no-deps -e .; \
	echo "$$hash" > $@
