"""The room on a disk: of a folder that is there, and of one that is not yet."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from entromask.disk import disk_room, require_space
from entromask.errors import DiskFullError


def test_the_room_is_that_of_the_disk_also_for_a_folder_to_come(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not" / "yet"):
        room = disk_room(folder)
        assert room is not None
        assert set(room) == {"used", "total", "free"}
        assert room["total"] == shutil.disk_usage(tmp_path).total
        assert 0 < room["used"] <= room["total"] - room["free"]
    assert not (tmp_path / "not").exists()


def test_a_folder_that_cannot_be_asked_has_no_room_to_tell() -> None:
    assert disk_room(Path("a" * 5000)) is None


def test_what_does_not_fit_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"needs about 1000000000\.0 GB"):
        require_space(tmp_path / "not" / "yet", 10**18, "it")
    require_space(tmp_path / "not" / "yet", 1, "it")
