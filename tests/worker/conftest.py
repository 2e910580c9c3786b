"""A service without its API: a real Redis, a database, and workers as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from entromask.embedded_redis import EmbeddedRedis
from tests.backend.conftest import redis  # noqa: F401 - a fixture
from tests.entromask.runs import write_corpus
from tests.worker.stack import Stack


@pytest.fixture
def stack(
    redis: EmbeddedRedis,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    """Nothing runs yet but Redis; what a test starts is stopped."""
    monkeypatch.setenv("ENTROMASK_LEASE_SECONDS", "4")
    stack = Stack(write_corpus(tmp_path / "corpus.txt"), redis.url)
    yield stack
    stack.close()
