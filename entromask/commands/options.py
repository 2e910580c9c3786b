"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entromask.resources import HIGHEST_PRIORITY, LOWEST_PRIORITY

SpecFile = Annotated[Path, typer.Argument(help="A YAML or JSON file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override one key; may be given repeatedly."),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="WORD", help="May be given repeatedly.")
]
Notes = Annotated[str, typer.Option(help="Free text.")]
Priority = Annotated[
    int,
    typer.Option(min=HIGHEST_PRIORITY, max=LOWEST_PRIORITY, help="0 is served first, 9 last."),
]
Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for scripts.")]
