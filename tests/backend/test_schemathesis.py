"""Requests made up from the description of the API: it never fails and never surprises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.store.keys import create_key
from tests.backend.api import served

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "unsupported_method",
)


@pytest.mark.slow
def test_made_up_requests_get_only_declared_answers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    database = Database(f"sqlite:///{home / 'entromask.db'}")
    migrate(database)
    with database.write() as session:
        _, secret = create_key(session, "test", "admin")
    database.close()
    settings = {"ENTROMASK_AUTH": "keys", "ENTROMASK_RATE_LIMIT": "0"}
    with served(home, **settings) as address:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "schemathesis.cli",
                "run",
                f"{address}/openapi.json",
                f"--header=Authorization: Bearer {secret}",
                f"--checks={','.join(CHECKS)}",
                "--phases=examples,coverage,fuzzing",
                "--max-examples=20",
                "--seed=1",
                "--no-color",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert re.search(r"\d+ generated", done.stdout)
        assert "Traceback" not in (home / "api.log").read_text()
