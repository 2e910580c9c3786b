"""The Redis of `entromask up`: private, durable, and gone when it is stopped."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path

import pytest

from entromask.embedded_redis import EmbeddedRedis, find_redis
from entromask.errors import EntromaskError


def server(folder: Path) -> EmbeddedRedis:
    return EmbeddedRedis(folder / "s", folder / "data", folder / "log.txt")


def test_it_answers_on_a_private_socket_until_it_is_stopped(tmp_path: Path) -> None:
    redis = server(tmp_path)
    assert not redis.ready()
    redis.start()
    try:
        assert redis.ready()
        assert stat.S_IMODE(redis.socket.stat().st_mode) == 0o700
        with pytest.raises(EntromaskError, match="already listens"):
            server(tmp_path).start()
    finally:
        redis.stop()
    assert not redis.ready()
    assert not redis.running()
    assert not redis.socket.exists()
    redis.stop()


def test_the_socket_of_a_killed_server_is_no_obstacle(tmp_path: Path) -> None:
    killed = server(tmp_path)
    killed.start()
    assert killed.process is not None
    killed.process.kill()
    killed.process.wait()
    assert killed.socket.exists()
    next_one = server(tmp_path)
    next_one.start()
    assert next_one.ready()
    next_one.stop()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    redis = server(tmp_path)
    redis.folder.mkdir()
    (redis.folder / "appendonlydir").write_text("in the way")
    (redis.folder / "appendonly.aof").write_text("not a log of Redis\n")
    with pytest.raises(EntromaskError, match="Redis ended at once with exit code"):
        redis.start()
    assert not redis.running()


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path / ("s" * 120), tmp_path / "data", tmp_path / "log.txt")
    with pytest.raises(EntromaskError, match="too long"):
        redis.start()


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("valkey-server", "redis-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert find_redis() == str(tmp_path / name)


def test_a_machine_without_any_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EntromaskError) as told:
        find_redis()
    assert "apt-get install redis-server" in str(told.value.hint)
