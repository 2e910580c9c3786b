"""What every test runs under: one thread, no Hub, and a home of its own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything heavy is imported: these are read at import.
_HOME = tempfile.mkdtemp(prefix="entromask-tests-")
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ENTROMASK_HOME"] = _HOME
for _name in ("ENTROMASK_GLUE_DIR", "ENTROMASK_HUB"):
    os.environ.pop(_name, None)

# A shell starts what it puts in the background with Ctrl-C ignored, and processes inherit that;
# those of the tests are to hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

from entromask.settings import settings  # noqa: E402
from tests.up import Service, free_port  # noqa: E402


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.hookimpl(trylast=True)  # after -m and -k have taken tests away
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what is marked gpu where there is no CUDA device; torch is imported only to ask."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An ENTROMASK_HOME for this test alone, with an empty cache."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ENTROMASK_HOME", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the repository, where there is any."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket; its service has ended."""
    with tempfile.TemporaryDirectory(prefix="em-") as folder:
        yield Path(folder) / "h"


@pytest.fixture
def service(short_home: Path) -> Iterator[Service]:
    made = Service(short_home, free_port())
    try:
        made.wait_until_ready()
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()
