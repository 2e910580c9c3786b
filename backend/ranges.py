"""Range requests: what cannot be satisfied is answered as every other error is."""

from __future__ import annotations

import re

from fastapi import Request

from backend.problems import ProblemError

_RANGES = re.compile(r"bytes\s*=\s*(\d*-\d*)(\s*,\s*\d*-\d*){0,15}\s*", re.IGNORECASE | re.ASCII)


def check_range(request: Request, size: int) -> None:
    """Makes sure that a Range header, if there is one, asks for bytes that there are.

    Raises:
        ProblemError: 416, with the size of the file.
    """
    given = request.headers.get("range")
    if given is None:
        return
    spans = given.partition("=")[2].split(",") if _RANGES.fullmatch(given) else []
    if not spans or not all(_fits(span.strip(), size) for span in spans):
        raise ProblemError(
            "range_not_satisfiable",
            f"the range '{given[:100]}' is not in a file of {size} bytes",
            "such as Range: bytes=0-1023",
            headers={"Content-Range": f"bytes */{size}"},
        )


def _fits(span: str, size: int) -> bool:
    first, _, last = span.partition("-")
    if len(first) > 18 or len(last) > 18:
        return False
    if not first:
        return bool(last) and int(last) > 0 and size > 0
    return int(first) < size and (not last or int(first) <= int(last))
