"""What describes a run never imports what trains one: each in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import frontend

FRONTEND = Path(frontend.__file__).parent
HEAVY = {"torch", "transformers", "evaluate", "datasets", "sklearn", "scipy", "pyarrow", "pandas"}


def imported(code: str) -> set[str]:
    """The top-level modules that a program has imported at its end."""
    program = f"{code}\nimport json, sys\nprint(json.dumps([*sys.modules]), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


@pytest.mark.parametrize(
    "module",
    [
        "entromask",
        "entromask.spec",
        "entromask.settings",
        "entromask.presets",
        "entromask.cli",
        "entromask.client",
        "entromask.stack.service",
        "entromask.analysis",
        "entromask.demo",
        "entromask.doctor",
        "entromask.terminal",
        "entromask.run_folder",
        "backend.app",
        "backend.db.migrate",
        "worker.reaper",
        "worker.service",
    ],
)
def test_a_light_module_imports_nothing_heavy(module: str) -> None:
    assert imported(f"import {module}") & HEAVY == set()


def test_the_dashboard_imports_nothing_that_trains() -> None:
    files = [path.relative_to(FRONTEND.parent) for path in sorted(FRONTEND.rglob("*.py"))]
    # Those of the pages are scripts: they run when they are imported.
    files = [path for path in files if path.parts[1] not in ("pages", "app.py", "__main__.py")]
    modules = [".".join(path.with_suffix("").parts) for path in files]
    found = imported("\n".join(f"import {module}" for module in modules))
    # Streamlit has its own use for tables in memory.
    assert found & (HEAVY - {"pandas", "pyarrow"}) == set()
    assert "backend" not in found
    assert "worker" not in found


@pytest.mark.parametrize("command", ["--help", "schema", "strategies", "run --help"])
def test_a_light_command_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys
sys.argv = ["entromask", *{command.split()!r}]
from entromask.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert imported(code) & HEAVY == set()


def test_the_check_itself_sees_a_heavy_import() -> None:
    assert "torch" in imported("import torch")
