"""`entromask runs …`: the runs of the service, and what can be done with them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from entromask.commands.options import Json, Limit, Tags
from entromask.commands.service import (
    connect,
    each,
    find,
    plain,
    print_json,
    print_scores,
    reason,
    watch,
)
from entromask.errors import InputError
from entromask.resources import HIGHEST_PRIORITY, LOWEST_PRIORITY, RunStatus
from entromask.terminal import duration

if TYPE_CHECKING:
    from entromask.client import Client
    from entromask.resources import Run

runs = typer.Typer(help="List the runs of the service; look at one, stop it, continue it.")

Id = Annotated[str, typer.Argument(metavar="ID", help="A run's id, or the beginning of it.")]
Ids = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids of runs, or the beginnings of them.")
]
# The score in a list: the broadest average that there is.
_AVERAGES = ("glue9", "glue8", "available")
# What fits a file or a pipe: nothing is cut there.
_WIDE = 250


@runs.callback(invoke_without_command=True)
def list_(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option(metavar="|".join(get_args(RunStatus)), help="Only these.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    q: Annotated[
        str | None, typer.Option("--q", metavar="WORDS", help="Words of name, notes or id.")
    ] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List the runs of the service, the newest first; with a command, do something with them."""
    if context.invoked_subcommand is not None:
        return
    if status is not None and status not in get_args(RunStatus):
        raise InputError(
            f"--status '{status}' is unknown", f"allowed: {', '.join(get_args(RunStatus))}"
        )
    with connect() as client:
        # One more than is shown tells whether there are more.
        found = list(
            client.list_runs(status=cast(RunStatus, status), tag=tag, q=q, limit=limit + 1)
        )
    shown = found[:limit]
    if as_json:
        print_json([run.model_dump() for run in shown])
        return
    if not shown:
        asked = status or tag or q
        print("no such run" if asked else "no run yet: entromask submit examples/quick.yaml")
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(_table(shown), highlight=False)
    if len(found) > limit:
        print(f"and more: --limit {limit * 5}", file=sys.stderr)


def _table(shown: list[Run]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "name", "status", "progress", "strategy", "score", "age"):
        table.add_column(
            name,
            no_wrap=True,
            justify="right" if name in ("score", "age") else "left",
            # The id is what the other commands want: it is never cut.
            min_width=28 if name == "id" else None,
        )
    for run in shown:
        table.add_row(
            run.id,
            plain(run.name),
            run.status,
            plain(_progress(run)),
            plain(run.strategy or ""),
            _score(run),
            _age(time.time() - run.created_at),
        )
    return table


def _progress(run: Run) -> str:
    if run.status == "failed":
        return str(run.reason or "")
    if run.status not in ("running", "cancelling") or run.stage is None:
        return ""
    words = [run.stage]
    if run.progress is not None and run.progress.fraction is not None:
        words.append(f"{run.progress.fraction:.0%}")
    if run.progress is not None and run.progress.eta_seconds is not None:
        words.append(f"{duration(run.progress.eta_seconds)} left")
    return " ".join(words)


def _score(run: Run) -> str:
    found = next((run.scores[name] for name in _AVERAGES if name in run.scores), None)
    return "" if found is None else f"{100 * found:.1f}"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


@runs.command()
def show(run: Id, as_json: Json = False) -> None:
    """Show all about a run; its scores once it has succeeded."""
    with connect() as client:
        found = find(client, run)
        if as_json:
            print_json(found.model_dump())
            return
        for name, value in _facts(found):
            print(f"{name:<12}{plain(str(value))}")
        if found.status == "succeeded":
            print()
            print_scores(client, found)


def _facts(run: Run) -> list[tuple[str, Any]]:
    facts = [
        ("id", run.id),
        ("name", run.name),
        ("status", run.status),
        ("progress", _progress(run) if run.status != "failed" else ""),
        ("error", reason(run) if run.status == "failed" else ""),
        ("hint", run.error.hint if run.error else ""),
        ("strategy", run.strategy),
        ("seed", run.seed),
        ("tags", ", ".join(run.tags)),
        ("notes", run.notes),
        ("attempt", run.attempt),
        ("worker", run.worker),
        ("spec", f"{run.spec_hash[:8]}, method {run.group_hash[:8]}"),
        ("submitted", f"{_age(time.time() - run.created_at)} ago"),
        *(("warning", warning) for warning in run.warnings),
    ]
    if run.started_at is not None:
        took = (run.finished_at or time.time()) - run.started_at
        facts.append(("took" if run.finished_at else "running for", f" {duration(took)}".strip()))
    return [(name, value) for name, value in facts if value not in (None, "")]


def _action(verb: str, words: str) -> None:
    """Adds `entromask runs VERB ID...`."""

    def act(ids: Ids, as_json: Json = False) -> None:
        def one(client: Client, run: Run) -> None:
            changed = getattr(client, verb)(run)
            if as_json:
                print_json(changed.model_dump())
            else:
                print(f"{changed.id} {changed.status}")

        each(ids, one)

    runs.command(verb, help=words)(act)


_action("cancel", "Stop runs after they have written a checkpoint.")
_action("kill", "Stop runs at once; their last checkpoints stay.")
_action("resume", "Continue cancelled runs from their last checkpoints.")
_action("retry", "Do the unfinished work of failed runs again.")


@runs.command()
def clone(
    run: Id,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Change one key; may be given repeatedly."),
    ] = None,
    tags: Tags = None,
    notes: Annotated[str | None, typer.Option(help="Free text; default: the run's.")] = None,
    priority: Annotated[
        int | None,
        typer.Option(min=HIGHEST_PRIORITY, max=LOWEST_PRIORITY, help="Default: the run's."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show its progress, and its scores at the end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Queue a run's spec again, with changes."""
    changes = dict(_override(text) for text in overrides or ())
    with connect() as client:
        made = client.clone(find(client, run), changes, tags=tags, notes=notes, priority=priority)
        if follow:
            watch(client, made, as_json)
        elif as_json:
            print_json(made.model_dump())
        else:
            print(made.id)


def _override(text: str) -> tuple[str, Any]:
    """`a.b=1` is ("a.b", 1)."""
    from entromask.yaml_file import apply_override

    value: Any = {}
    apply_override(value, text)
    path = text.partition("=")[0].strip()
    for key in path.split("."):
        value = value[key]
    return path, value


@runs.command()
def logs(
    run: Id,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show its progress until it is over.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Its events as JSON lines.")] = False,
) -> None:
    """Print a run's log so far, or follow it."""
    with connect() as client:
        found = find(client, run)
        if follow:
            watch(client, found, as_json)
        elif as_json:
            for event in client.events(found):
                print_json(event.model_dump(exclude_none=True))
        else:
            sys.stdout.write(client.logs(found))


@runs.command()
def download(
    ids: Ids,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Into this folder; default: one with the run's id."),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="One file or folder of the run, for example model.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring runs' files here; what an earlier try has brought is not fetched again."""
    several = len(ids) > 1

    def one(client: Client, run: Run) -> None:
        folder = Path(run.id) if to is None else to / run.id if several else to
        files = client.download(run, path, folder, overwrite=overwrite)
        if as_json:
            print_json({"run": run.id, "folder": str(folder), "files": [str(f) for f in files]})
        else:
            print(f"{len(files)} files in {folder}")
            if (folder / "results.json").is_file():
                print(f"its scores: entromask compare {folder}", file=sys.stderr)

    each(ids, one)
