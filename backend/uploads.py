"""Receives a corpus: from the request's stream straight into its place, with flat memory.

A client's name is never part of a path. Whatever ends an upload early leaves nothing behind: an
exception at once, a crash at the next start.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio import to_thread

from backend.problems import ProblemError
from backend.upload_form import Upload, UploadForm, too_large
from entromask.disk import disk_errors, require_space
from entromask.settings import settings

# What the network delivers comes in small pieces; the disk is given larger ones.
_PIECE = 1024 * 1024
# The other fields and the multipart frame around the file.
_FRAME = 64 * 1024
_DRAINED = 16 * 1024 * 1024

_log = logging.getLogger(__name__)


class Place:
    """The folder of an upload under way; to `keep` once the database knows of it."""

    def __init__(self, corpus_id: str) -> None:
        self.corpus_id = corpus_id
        self.folder = settings().corpora / corpus_id
        self.kept = False

    def keep(self) -> None:
        self.kept = True


@contextmanager
def receiving(corpus_id: str) -> Iterator[Place]:
    """A new folder for an upload, removed at the end unless it is to be kept.

    A locked marker beside it tells other processes that somebody is at work there.

    Raises:
        DiskFullError: there is no room.
    """
    place = Place(corpus_id)
    marker = _markers() / corpus_id
    with disk_errors("an upload", settings().corpora):
        marker.parent.mkdir(parents=True, exist_ok=True)
        with marker.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                place.folder.mkdir()
                yield place
            finally:
                if not place.kept:
                    shutil.rmtree(place.folder, ignore_errors=True)
                marker.unlink(missing_ok=True)


def _markers() -> Path:
    return settings().corpora / ".receiving"


def remove_leftovers(is_stored: Callable[[str], bool]) -> list[str]:
    """Removes what processes left that died while they received; returns the ids.

    Args:
        is_stored: whether the database has a corpus of this id.
    """
    removed = []
    for marker in sorted(_markers().glob("*")):
        with marker.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process is alive
            if not is_stored(marker.name):
                shutil.rmtree(settings().corpora / marker.name, ignore_errors=True)
                removed.append(marker.name)
            marker.unlink(missing_ok=True)
    return removed


def move_to_trash(corpus_id: str) -> None:
    """Puts a deleted corpus's files into ENTROMASK_HOME/trash: nothing is lost by a DELETE."""
    trash = settings().root / "trash"
    try:
        trash.mkdir(parents=True, exist_ok=True)
        shutil.move(settings().corpora / corpus_id, trash / corpus_id)
    except OSError as error:
        _log.warning("the files of the deleted corpus %s stay: %s", corpus_id, error)


async def drain(stream: AsyncIterator[bytes]) -> None:
    """Reads a little of what a refused client still sends, so that it gets to read the answer."""
    left = _DRAINED
    async for chunk in stream:
        left -= len(chunk)
        if left < 0:
            return


async def receive(
    stream: AsyncIterator[bytes], content_type: str, length: int | None, folder: Path, limit: int
) -> Upload:
    """Writes the file of a multipart request into `folder`.

    Args:
        stream: the request's body.
        content_type, length: its headers; a length that is too large is refused unread.
        limit: the largest file, in bytes.

    Raises:
        ProblemError: 413 for a file over the limit, 422 for a form that is not as it should be.
        DiskFullError: there is no room.
    """
    if length is not None:
        if length > limit + _FRAME:
            raise too_large(limit)
        await to_thread.run_sync(require_space, folder, length, "the upload")
    form = UploadForm(content_type, folder, limit)
    try:
        waiting = bytearray()
        async for chunk in stream:
            waiting += chunk
            if len(waiting) >= _PIECE:
                await to_thread.run_sync(form.feed, bytes(waiting))
                waiting.clear()
        await to_thread.run_sync(form.feed, bytes(waiting))
        return await to_thread.run_sync(form.finish)
    finally:
        form.close()


async def check_content(upload: Upload, limit: int) -> None:
    """Reads the whole file, in another process, and makes sure that it is usable text.

    Raises:
        ProblemError: it is not.
    """
    command = ("-m", "backend.corpus_check", str(upload.file), upload.column, str(limit))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        error = json.loads(output)["error"]
    except ValueError:  # it was killed by its limits, or by what it read
        error = {
            "code": "invalid_corpus",
            "message": f"{upload.client_name} cannot be read: its rows are too large or damaged",
            "hint": "write it again with smaller rows",
        }
    if error is not None:
        message = error["message"].replace(str(upload.file), upload.client_name)
        raise ProblemError(error["code"], message, error["hint"], errors=[("/file", message)])
