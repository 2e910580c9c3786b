"""The console script in the process of the test: real streams and codes, no time for imports."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest.mock import patch

from entromask import cli


def entromask(*words: str, stdin: bytes = b"") -> CompletedProcess[str]:
    """Run `entromask WORDS` with its streams in memory, under the environment of the test."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    code: object = None
    with (
        patch.object(sys, "argv", ["entromask", *words]),
        patch.object(sys, "stdin", given),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    return CompletedProcess(["entromask", *words], int(str(code or 0)), text(out), text(err))


def text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
