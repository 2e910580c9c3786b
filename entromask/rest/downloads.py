"""Files of a run brought here: continued where they broke off, never over a file of the user's."""

from __future__ import annotations

import os
import time
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from entromask.errors import EntromaskError, InputError
from entromask.resources import Artifact
from entromask.rest.errors import ApiError, UnreachableError
from entromask.rest.transport import Transport

_BUSY = (429, 502, 503, 504)
# On the disk: offsets and sizes count bytes of the file.
_AS_IT_LIES = {"Accept": "*/*", "Accept-Encoding": "identity"}


class TooLargeError(Exception):
    """A file has more bytes than were asked for."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def place(folder: Path, path: str) -> Path:
    """Where a file of the server goes in `folder`.

    Raises:
        EntromaskError: the server's name leads out of the folder.
    """
    parts = PurePosixPath(path).parts
    unsafe = not parts or any(
        part in ("..", "/") or "\\" in part or ":" in part or "\0" in part for part in parts
    )
    target = folder.joinpath(*parts) if not unsafe else folder
    # A link that lies here could lead out as well.
    if unsafe or not target.parent.resolve().is_relative_to(folder.resolve()):
        raise EntromaskError(
            f"the service names a file '{path}', which would not lie in {folder}",
            "nothing was written; is it the service that you meant?",
        )
    return target


def present(target: Path, artifact: Artifact) -> bool:
    """Whether the file is here already: as large, and from the same moment.

    Raises:
        InputError: there is another file in its place.
    """
    if not target.exists() and not target.is_symlink():
        return False
    if target.is_file() and not target.is_symlink():
        found = target.stat()
        if found.st_size == artifact.size and abs(found.st_mtime - artifact.modified_at) < 1:
            return True
    raise InputError(
        f"{target} is there already and is not the file of the run",
        "choose another folder, or allow to overwrite",
    )


def fetch(transport: Transport, path: str, artifact: Artifact, target: Path) -> None:
    """Downloads one file; a part of it that an earlier try left is continued.

    Args:
        path: of the run on the server.

    Raises:
        ApiError, UnreachableError: it cannot be had, after all tries; what came stays for the next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # The name says of which version of the file this is a part.
    version = f"{artifact.size}-{artifact.modified_at:.0f}"
    part = target.with_name(f".{target.name}.{version}.part")
    waits = transport.waits()
    while True:
        before = _size(part)
        if before and before == artifact.size:
            break
        try:
            _receive(transport, f"{path}/artifacts/{_quoted(artifact.path)}", part)
            break
        except (ApiError, UnreachableError) as error:
            if isinstance(error, ApiError) and error.status == 416 and part.exists():
                part.unlink()  # it has grown shorter on the server
            elif isinstance(error, ApiError) and error.status not in _BUSY:
                raise
            if _size(part) > before:
                waits = transport.waits()
            if (wait := next(waits, None)) is None:
                raise
            time.sleep(wait)
    os.utime(part, (artifact.modified_at, artifact.modified_at))
    part.replace(target)


def read(transport: Transport, path: str, file: str, most: int | None) -> bytes:
    """The content of a file; after a broken connection it is read anew.

    Args:
        path: of the run on the server.
        file: the file's path in the run.

    Raises:
        TooLargeError: it has more than `most` bytes.
        ApiError, UnreachableError: it cannot be had, after all tries.
    """
    url = f"{path}/artifacts/{_quoted(file)}"
    waits = transport.waits()
    while True:
        try:
            with transport.stream(url, _AS_IT_LIES) as response:
                # Before anything of it is fetched; a server in between may leave it out.
                size = response.headers.get("Content-Length", "")
                if most is not None and size.isdigit() and int(size) > most:
                    raise TooLargeError(int(size))
                content = response.read()
            if most is not None and len(content) > most:
                raise TooLargeError(len(content))
            return content
        except (ApiError, UnreachableError) as error:
            if isinstance(error, ApiError) and error.status not in _BUSY:
                raise
            if (wait := next(waits, None)) is None:
                raise
            time.sleep(wait)


def _quoted(file: str) -> str:
    """As a part of a URL; `..` is a name like others, which the server knows to refuse."""
    return "/".join(
        "%2E" * len(name) if name in (".", "..") else quote(name, safe="")
        for name in file.split("/")
    )


def _receive(transport: Transport, url: str, part: Path) -> None:
    """Appends what is missing to `part`."""
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    headers |= _AS_IT_LIES
    with transport.stream(url, headers) as response:
        continued = response.status_code == 206
        if continued and _start(response.headers.get("Content-Range", "")) != have:
            raise UnreachableError(f"{url} was sent from another place than asked for")
        with part.open("ab" if continued else "wb") as file:
            # As the pieces come: what has arrived before a break stays.
            for chunk in response.iter_bytes():
                file.write(chunk)


def _start(content_range: str) -> int | None:
    text = content_range.removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdigit() else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
