"""`entromask preview`: a text coloured by a model's entropy, and what presets would mask in it."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from entromask.errors import InputError
from entromask.text.unicode import replace_surrogates

# Control characters could move the cursor or change a terminal's state.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# From certain to uncertain, readable on dark and on light terminals: each with its own ink.
_CERTAIN, _UNCERTAIN = (255, 255, 229), (204, 76, 2)


def preview(
    text: Annotated[str, typer.Argument(help="The text; - reads it from stdin.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="REF",
            help="A run's id or folder, RUN@STEP for a checkpoint of it, a model folder, or "
            "hub:NAME.",
        ),
    ],
    presets: Annotated[
        list[str] | None,
        typer.Option("--preset", metavar="NAME", help="Show its masks; may be given repeatedly."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Masking rate; default: that of each preset.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The masks are drawn from it.")] = 0,
    progress: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of the run that is done, 0 to 1, for rates with a schedule; default: that of "
            "the checkpoint, else 0.",
        ),
    ] = None,
    masked: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="Positions of tokens to hide, as the table counts them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Show a model's entropy and surprisal for each token of TEXT, and what presets mask."""
    from entromask.analysis.previewer import Previewer, parse_reference
    from entromask.hub import set_offline
    from entromask.spec import RunSpec

    words = _standard_input() if text == "-" else text
    hidden = _positions(masked)
    reference = parse_reference(model)
    set_offline(RunSpec(teacher=reference if reference.hub is not None else None))
    result = Previewer().preview(
        reference,
        words,
        presets=presets or (),
        rate=rate,
        seed=seed,
        masked=hidden,
        progress=progress,
    )
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for part in _parts(replace_surrogates(words)[0], result):
        console.print(part, soft_wrap=isinstance(part, Text))
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise InputError("the text on stdin is not UTF-8", "convert it with iconv") from None


def _positions(masked: str | None) -> list[int]:
    try:
        return [int(word) for word in (masked or "").split(",") if word.strip()]
    except ValueError:
        raise InputError(
            f"--masked '{masked}' is not a list of positions", "e.g. --masked 3,5"
        ) from None


def _parts(words: str, result: dict[str, Any]) -> list[Text | Table]:
    parts: list[Text | Table] = [
        _coloured(words, result),
        Text(),
        _table(words, result),
        Text(_LEGEND),
        Text(),
    ]
    for entry in result["presets"]:
        parts.append(_masked_line(words, result["tokens"], entry))
    if len(result["agreement"]["presets"]) > 1:
        parts += [Text(), _agreement(result["agreement"]), Text(_AGREEMENT)]
    return parts


def _agreement(found: dict[str, Any]) -> Table:
    """The overlap of each pair of presets, with its chance level in brackets."""
    table = Table(box=None, pad_edge=False)
    names = found["presets"]
    table.add_column("overlap (chance)", no_wrap=True)
    for number in range(1, len(names)):
        table.add_column(str(number), justify="right", no_wrap=True)
    for row, name in enumerate(names):
        pairs = zip(found["overlap"][row][:row], found["chance"][row][:row], strict=True)
        table.add_row(f"{row + 1} {name}", *(_share_and_chance(*pair) for pair in pairs))
    return table


def _share_and_chance(overlap: float | None, chance: float | None) -> str:
    return "-" if overlap is None or chance is None else f"{overlap:.2f} ({chance:.2f})"


_AGREEMENT = "expected overlap by the mask probabilities; in brackets: those of one preset shuffled"


def _coloured(words: str, result: dict[str, Any]) -> Text:
    """The text, each token on a ground between certain and uncertain."""
    text = Text(_plain(words))
    inside = [token for token in result["tokens"] if token["entropy"] is not None]
    most = max((token["entropy"] for token in inside), default=0.0) or 1.0
    for token in inside:
        share = token["entropy"] / most
        ground = [round(a + share * (b - a)) for a, b in zip(_CERTAIN, _UNCERTAIN, strict=True)]
        ink = "white" if share > 0.7 else "black"
        style = Style(
            bgcolor=f"rgb({ground[0]},{ground[1]},{ground[2]})",
            color=ink,
            strike=token["masked"] or None,
        )
        text.stylize(style, token["start"], token["end"])
    return text


def _table(words: str, result: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "token", "entropy", "hidden", "surprisal", "likeliest when hidden"):
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for token in result["tokens"]:
        if token["entropy"] is None:
            continue
        numbers = [f"{token[key]:.2f}" for key in ("entropy", "entropy_masked", "surprisal")]
        best = token["top_masked"][0]
        spelt = _plain(words[token["start"] : token["end"]]).strip() or token["token"]
        note = " (hidden)" if token["masked"] else " (unknown)" if token["special"] else ""
        table.add_row(
            str(token["position"]),
            Text(spelt + note),
            *numbers,
            Text(f"{_plain(best['token'])} {best['probability']:.0%}"),
        )
    return table


_LEGEND = "in nats; hidden, surprisal and likeliest: with that one token hidden as well"
_NUMBERS = ("", "entropy", "hidden", "surprisal")


def _masked_line(words: str, tokens: list[dict[str, Any]], entry: dict[str, Any]) -> Text:
    """The text with a preset's masked tokens in brackets."""
    line = Text(entry["preset"], style="bold")
    if "error" in entry:
        return Text.assemble(line, ("  " + entry["error"], "italic"))
    line = Text.assemble(line, f" ({len(entry['positions'])} at {entry['rate']:.4g}): ")
    chosen = [(tokens[i]["start"], tokens[i]["end"]) for i in entry["positions"]]
    # Tokens may share a character, as the bytes of an emoji do: one pair of brackets for it.
    joined: list[tuple[int, int]] = []
    for start, end in sorted(set(chosen)):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    cuts = [(0, 0), *joined, (len(words), len(words))]
    for (_, before), (start, end) in pairwise(cuts):
        line.append(_plain(words[before:start]))
        if end > start:
            line.append("[" + _plain(words[start:end]) + "]", style="reverse")
    return line


def _plain(text: str) -> str:
    """The same number of characters, none of which a terminal obeys."""
    return _CONTROL.sub("\ufffd", text)
