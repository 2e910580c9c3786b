"""`entromask experiment`, `experiments …` and `report`: many seeds, one table."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from entromask.commands.options import Json, Limit, Notes, Overrides, Priority, Tags
from entromask.commands.service import (
    EXIT_CODES,
    INTERRUPTED,
    by_beginning,
    connect,
    plain,
    print_json,
)
from entromask.errors import InputError
from entromask.resources import (
    DEFAULT_PRIORITY,
    OVER,
    ReportFormat,
)
from entromask.terminal import duration

if TYPE_CHECKING:
    from entromask.client import Client
    from entromask.resources import Experiment, ExperimentPlan

experiments = typer.Typer(help="List the experiments of the service; look at one, extend it.")

Id = Annotated[
    str, typer.Argument(metavar="ID", help="An experiment's id, or the beginning of it.")
]
_POLL_SECONDS = 2.0
_WIDE = 250


def experiment(
    spec: Annotated[
        Path, typer.Argument(help="A YAML or JSON file of an experiment.", show_default=False)
    ],
    overrides: Overrides = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say which runs there would be; queue nothing.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay until it is over, and print the report.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, on a terminal, before queueing.")
    ] = False,
    tags: Tags = None,
    notes: Notes = "",
    priority: Priority = DEFAULT_PRIORITY,
    as_json: Json = False,
) -> None:
    """Plan what SPEC describes, methods x seeds with their controls, and queue its runs."""
    from entromask.experiments import ExperimentSpec

    description = ExperimentSpec.load(spec, overrides)
    with connect() as client:
        planned = client.plan_experiment(description)
        if plan and as_json:
            print_json(planned.model_dump())
            return
        if not as_json:
            _show_plan(planned, sys.stdout if plan else sys.stderr)
        if plan:
            return
        if not yes and not as_json and sys.stdin.isatty():
            typer.confirm(f"Queue {planned.new} runs?", default=True, abort=True, err=True)
        made = client.create_experiment(
            description, tags=tags or (), notes=notes, priority=priority
        )
        if follow:
            if not as_json:
                print(f"experiment {made.id}", file=sys.stderr)
            _watch(client, made, as_json)
        elif as_json:
            print_json(made.model_dump())
        else:
            # The id alone on stdout: EXPERIMENT=$(entromask experiment …)
            print(made.id)
            print(
                f"queued; how it stands: entromask experiments show {made.id}\n"
                f"the report, at any time: entromask report {made.id}",
                file=sys.stderr,
            )


def _show_plan(planned: ExperimentPlan, stream: Any) -> None:
    table = Table("method", "role", "seeds", "there already", "FLOPs of a run", "at its compute",
                  box=None, pad_edge=False)  # fmt: skip
    labels = {cell.key: cell.label for cell in planned.cells}
    for cell in planned.cells:
        flops = "- (not known)" if cell.flops is None else f"{cell.flops:.2e}"
        seeds = ", ".join(map(str, cell.seeds[:6])) + (", …" if len(cell.seeds) > 6 else "")
        matched = labels.get(cell.matched or "", "")
        table.add_row(
            plain(cell.label), cell.role, seeds, str(cell.reused or ""), flops, plain(matched)
        )
    console = Console(file=stream, width=None if stream.isatty() else _WIDE)
    console.print(table, highlight=False)
    lines = [f"{planned.total} runs, {planned.new} to be done, in {planned.jobs} jobs"]
    if planned.flops is not None:
        tokens = "" if planned.tokens is None else f" and {planned.tokens:,} tokens"
        lines.append(f"{planned.flops:.2e} FLOPs{tokens} of pretraining")
    if planned.seconds is not None:
        lines.append(
            f"about {duration(planned.seconds)} on one worker, with evaluation, scoring and floors"
        )
    else:
        lines.append(
            "how long it will take is not known: a worker measures its machine when it starts"
        )
    print("; ".join(lines), file=stream)
    for warning in planned.warnings:
        print(f"note: {plain(warning)}", file=sys.stderr)


@experiments.callback(invoke_without_command=True)
def list_(
    context: typer.Context,
    q: Annotated[
        str | None, typer.Option("--q", metavar="WORDS", help="Words of name, notes or id.")
    ] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List the experiments of the service, the newest first; with a command, act on one."""
    if context.invoked_subcommand is not None:
        return
    with connect() as client:
        found = list(islice(client.list_experiments(q=q), limit))
    if as_json:
        print_json([one.model_dump() for one in found])
        return
    if not found:
        hint = "no experiment yet: entromask experiment examples/experiment-local.yaml"
        print("no such experiment" if q else hint)
        return
    table = Table("id", "name", "status", "runs over", "failed", box=None, pad_edge=False)
    for one in found:
        over = f"{sum(one.runs.get(status, 0) for status in OVER)} of {one.total}"
        failed = str(one.runs.get("failed") or "")
        table.add_row(one.id, plain(one.name), one.status, over, failed)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(table, highlight=False)


@experiments.command()
def show(experiment: Id, as_json: Json = False) -> None:
    """Show an experiment's methods and how their runs stand."""
    with connect() as client:
        found = find(client, experiment)
    if as_json:
        print_json(found.model_dump())
        return
    print(f"{found.id}  {plain(found.name)}  {found.status}")
    print(", ".join(f"{count} {status}" for status, count in sorted(found.runs.items())))
    for note in found.plan_notes:
        print(f"note: {plain(note)}")
    table = Table("method", "role", "seed", "status", "run", box=None, pad_edge=False)
    for cell in found.cells:
        for number, run in enumerate(cell.runs):
            head = (plain(cell.label), cell.role) if number == 0 else ("", "")
            status = f"{run.status}, {run.stage}" if run.status == "running" else run.status
            table.add_row(
                *head, str(run.seed), status + (" (reused)" if run.reused else ""), run.id
            )
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(table, highlight=False)


@experiments.command()
def cancel(experiment: Id, as_json: Json = False) -> None:
    """Stop an experiment's runs that are not over, each after a checkpoint."""
    with connect() as client:
        _say(client.cancel_experiment(find(client, experiment)), as_json)


@experiments.command()
def retry(experiment: Id, as_json: Json = False) -> None:
    """Continue failed and cancelled runs, and make deleted ones again; the rest stays."""
    with connect() as client:
        _say(client.retry_experiment(find(client, experiment)), as_json)


@experiments.command()
def delete(experiment: Id) -> None:
    """Remove an experiment that is over; its runs stay."""
    with connect() as client:
        found = find(client, experiment)
        client.delete_experiment(found)
    print(f"{found.id} deleted; its runs stay")


@experiments.command()
def extend(
    experiment: Id,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seed", min=0, help="A pretraining seed; may be given repeatedly."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--with", metavar="FILE", help="A YAML file with the keys methods, matrix or seeds."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add seeds, methods or values of the matrix to an experiment; what is there stays."""
    from entromask.resources import ExperimentExtension
    from entromask.yaml_file import read_yaml

    more = read_yaml(spec) if spec is not None else {}
    unknown = [key for key in more if key not in ExperimentExtension.model_fields]
    if unknown:
        raise InputError(
            f"{spec}: the key '{unknown[0]}' cannot be added to",
            f"allowed: {', '.join(ExperimentExtension.model_fields)}",
        )
    all_seeds = [*(more.get("seeds") or ()), *(seeds or ())]
    with connect() as client:
        found = find(client, experiment)
        changed = client.extend_experiment(
            found, seeds=all_seeds, methods=more.get("methods"), matrix=more.get("matrix")
        )
    _say(changed, as_json)


@experiments.command()
def follow(experiment: Id, as_json: Json = False) -> None:
    """Stay until an experiment is over, and print the report."""
    with connect() as client:
        _watch(client, find(client, experiment), as_json)


def report(
    experiment: Id,
    style: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="|".join(get_args(ReportFormat)),
            help="latex is a whole document, html one file that loads nothing.",
        ),
    ] = "md",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it into this file.")
    ] = None,
) -> None:
    """Print the report of an experiment: the table with intervals and tests, costs, the methods."""
    if style not in get_args(ReportFormat):
        raise InputError(f"no format '{style}'", f"allowed: {', '.join(get_args(ReportFormat))}")
    with connect() as client:
        text = _report(client, find(client, experiment), cast(ReportFormat, style))
    if output is None:
        sys.stdout.write(text)
        return
    from entromask.run_folder import write_atomically

    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, text)
    print(f"written: {output}", file=sys.stderr)


def _report(client: Client, found: Experiment, style: ReportFormat) -> str:
    if style == "json":
        return client.summary(found).model_dump_json(indent=2) + "\n"
    return client.summary(found, style)


def find(client: Client, word: str) -> Experiment:
    """The experiment with an id, or with one that only it begins with; `exp_` may be left out.

    Raises:
        InputError: no experiment, or several.
    """
    return by_beginning(
        word,
        "experiment",
        "exp_",
        client.get_experiment,
        lambda q: client.list_experiments(q=q),
    )


def _say(found: Experiment, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump())
        return
    counts = ", ".join(f"{count} {status}" for status, count in sorted(found.runs.items()))
    print(f"{found.id} {found.status}: {counts}")


def _watch(client: Client, found: Experiment, as_json: bool) -> None:
    """Says how each run ends until the experiment is over; Ctrl-C ends the watching alone."""
    said: dict[str, str] = {}
    try:
        while True:
            _say_changes(found, said, as_json)
            if found.status in OVER:
                break
            time.sleep(_POLL_SECONDS)
            found = client.get_experiment(found)
    except KeyboardInterrupt:
        print(
            f"\nThe experiment goes on. To watch it again: entromask experiments follow {found.id}"
            f"\nTo stop it: entromask experiments cancel {found.id}",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json({"type": "experiment", **found.model_dump()})
    else:
        sys.stdout.write(client.summary(found, "md"))
    if code := EXIT_CODES.get(found.status, 1):
        raise typer.Exit(code)


def _say_changes(found: Experiment, said: dict[str, str], as_json: bool) -> None:
    over = sum(found.runs.get(status, 0) for status in OVER)
    for cell in found.cells:
        for run in cell.runs:
            if said.get(run.id) == run.status or run.status == "queued":
                continue
            said[run.id] = run.status
            if as_json:
                line = {"type": "run", "id": run.id, "cell": cell.key, "seed": run.seed}
                print_json({**line, "status": run.status, "over": over, "total": found.total})
            else:
                where = f"{over}/{found.total}"
                print(f"{where:<8}{plain(cell.label)}, seed {run.seed}: {run.status}",
                      file=sys.stderr)  # fmt: skip
