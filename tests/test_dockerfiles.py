"""The images: locked, pinned, not run as root, and made of files that exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.compose import BUILT, DOCKERFILES, ROOT, Stage, copied, sent, stages

HOME = "/home/entromask/.entromask"


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def locked(path: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text(path).splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition(" ")[0].partition("==")
            found.setdefault(name, []).append(version)
    return found


def hardware(dockerfile: str) -> set[str]:
    """What the services give as HARDWARE; an empty value where a Dockerfile takes none."""
    builds = [s["build"] for s in BUILT.values() if s["build"]["dockerfile"] == dockerfile]
    return {build.get("args", {}).get("HARDWARE", "") for build in builds}


def lineage(dockerfile: str, value: str) -> list[Stage]:
    """The last stage and those it starts from, for one value of HARDWARE."""
    named = {stage.name: stage for stage in stages(dockerfile)}
    chain = [stages(dockerfile)[-1]]
    while (base := chain[-1].base.replace("${HARDWARE}", value)) in named:
        chain.append(named[base])
    return chain


IMAGES = [(path, value) for path in DOCKERFILES for value in sorted(hardware(path))]


@pytest.mark.parametrize("path", DOCKERFILES)
def test_hadolint_has_nothing_to_say(path: str) -> None:
    command = [Path(sys.executable).with_name("hadolint"), "--no-color", ROOT / path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", BUILT)
def test_what_a_service_is_built_from_exists(name: str) -> None:
    build = BUILT[name]["build"]
    assert (ROOT / build["context"]).resolve() == ROOT
    arguments = set(re.findall(r"^ARG (\w+)", text(build["dockerfile"]), re.MULTILINE))
    assert set(build.get("args", {})) == arguments


@pytest.mark.parametrize("path", DOCKERFILES)
def test_what_a_dockerfile_copies_exists_and_is_sent_to_the_build(path: str) -> None:
    assert copied(path)
    for source in copied(path):
        assert (ROOT / source).exists(), source
        assert sent(source), source


@pytest.mark.parametrize("path", [".env", ".git", ".venv", "data/corpus.txt", "runs", "tests"])
def test_secrets_data_and_history_stay_out_of_the_build(path: str) -> None:
    assert not sent(path)


def test_caches_of_python_stay_out_of_the_build() -> None:
    assert sent("entromask/spec.py")
    assert not sent("entromask/__pycache__")
    assert not sent("entromask/spec.pyc")


@pytest.mark.parametrize(("path", "value"), IMAGES)
def test_an_image_starts_from_one_full_version_of_python(path: str, value: str) -> None:
    base = lineage(path, value)[-1].base
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    assert base == stages("backend/Dockerfile")[0].base


@pytest.mark.parametrize(("path", "value"), IMAGES)
def test_a_container_runs_as_a_user_that_owns_the_home(path: str, value: str) -> None:
    chain = lineage(path, value)
    assert chain[0].of("USER") == [["1000"]]
    run = " ".join(" ".join(words) for stage in chain for words in stage.of("RUN"))
    assert "useradd --uid 1000" in run
    assert f"install -d -o entromask -g entromask {HOME}" in run
    assert [f"ENTROMASK_HOME={HOME}"] in [words for stage in chain for words in stage.of("ENV")]


@pytest.mark.parametrize(("path", "value"), IMAGES)
def test_the_final_image_has_no_installer_and_no_cache(path: str, value: str) -> None:
    for stage in lineage(path, value):
        run = " ".join(" ".join(words) for words in stage.of("RUN"))
        assert "pip" not in run
        assert "apt-get" not in run or "rm -rf /var/lib/apt/lists/*" in run


def test_triton_finds_a_compiler_on_a_gpu() -> None:
    packages = " ".join(
        " ".join(words)
        for stage in lineage("worker/Dockerfile", "gpu")
        for words in stage.of("RUN")
    )
    assert "gcc libc6-dev" in packages


@pytest.mark.parametrize("path", DOCKERFILES)
def test_an_image_installs_extras_of_the_project_at_locked_versions(path: str) -> None:
    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    installs = [line for line in text(path).splitlines() if "uv pip install" in line]
    assert len(installs) >= 2
    for line in installs:
        assert set(re.findall(r"--extra (\S+)", line)) <= set(extras)
        assert re.search(r"(-c|--build-constraints) requirements\.lock", line)
        assert ("--extra cuda" in line) == ("-c cuda.lock" in line)


def test_the_api_can_check_an_upload_in_parquet_without_the_packages_of_a_worker() -> None:
    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    assert any(requirement.startswith("pyarrow>=") for requirement in extras["backend"])


@pytest.mark.parametrize("path", DOCKERFILES)
def test_an_image_installs_with_the_installer_of_the_makefile(path: str) -> None:
    version = re.search(r"^UV_VERSION := (\S+)$", text("Makefile"), re.MULTILINE)
    assert version is not None
    assert f"uv=={version[1]} " in text(path)


def test_the_lock_of_cuda_adds_to_the_lock_and_contradicts_it_nowhere() -> None:
    cuda, common = locked("worker/cuda.lock"), locked("requirements.lock")
    assert all(len(versions) == 1 and versions[0] for versions in cuda.values())
    assert not set(cuda) & set(common)
    assert {"liger-kernel", "triton", "nvidia-cublas"} <= set(cuda)
