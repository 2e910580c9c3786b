"""The cache: whole or not there, and failures of the disk in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from entromask.disk import disk_errors
from entromask.errors import DiskFullError, InputError
from entromask.text.cache import build_once, write_once


def exists(folder: Path) -> bool:
    return folder.exists()


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError, match="no room on the disk for the rows") as caught,
        disk_errors("the rows", tmp_path),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
    assert "ENTROMASK_HOME" in str(caught.value.hint)


def test_a_place_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write a\.json"):
        write_once(tmp_path / "file" / "a.json", b"x")


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(place: Path) -> None:
        (place / "half").touch()
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        build_once(tmp_path / "thing", build, exists, "the thing")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_what_is_whole_is_not_built_again_and_what_is_not_is_replaced(tmp_path: Path) -> None:
    built = []

    def build(place: Path) -> None:
        built.append(place)
        (place / "content").write_text(str(len(built)))

    def whole(place: Path) -> bool:
        return (place / "content").exists()

    thing = tmp_path / "thing"
    build_once(thing, build, whole, "the thing")
    build_once(thing, build, whole, "the thing")
    assert len(built) == 1
    (thing / "content").rename(thing / "other")
    build_once(thing, build, whole, "the thing")
    assert [path.name for path in thing.iterdir()] == ["content"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "a"
    write_once(file, b"old")
    with pytest.raises(TypeError):
        write_once(file, "not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
