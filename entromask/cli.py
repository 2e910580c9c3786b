"""The command line. Light at the start: torch and its friends are imported by what needs them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from entromask.commands.demo import demo
from entromask.commands.experiments import experiment, experiments, report
from entromask.commands.keys import keys
from entromask.commands.leaderboard import leaderboard
from entromask.commands.options import Json, Overrides, SpecFile
from entromask.commands.prefetch import prefetch
from entromask.commands.preview import preview
from entromask.commands.runs import runs
from entromask.commands.share import download, push
from entromask.commands.submit import submit
from entromask.commands.up import up
from entromask.errors import EntromaskError, InputError
from entromask.processes import is_one_of_several, process_index
from entromask.settings import settings
from entromask.terminal import reporter

CANCELLED = 130

app = typer.Typer(
    name="entromask",
    help="Pretrain masked language models on chosen tokens, evaluate them, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# The folder of the run under way, once known: its log takes the traceback of a crash.
_current: list[Path] = []


def _write_traceback() -> Path:
    """Into the run's log if it has one, else into ENTROMASK_HOME/logs."""
    if _current and (_current[-1] / "spec.yaml").is_file():
        path = _current[-1] / "log.txt"
    else:
        path = settings().root / "logs" / time.strftime("%Y%m%d-%H%M%S.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    return path


def main() -> None:
    """The console script: exit 0 done, 1 failed, 2 usage or invalid spec, 130 cancelled."""
    with _failures():
        app()


@contextmanager
def _failures() -> Iterator[None]:
    """Turns an exception into its sentence and its exit code."""
    try:
        yield
    except EntromaskError as error:
        _complain(error.message, error.hint)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(CANCELLED)
    except Exception as error:
        text = " ".join(str(error).split())
        message = f"{type(error).__name__}: {text}" if text else type(error).__name__
        try:
            hint = f"the traceback is in {_write_traceback()}"
        except OSError as failure:
            hint = f"the traceback could not be written ({failure})"
        _complain(f"unexpected {message}", hint)
        sys.exit(1)


def _complain(message: str, hint: str | None) -> None:
    index = process_index()
    who = f"process {index}: " if index else ""
    lines = [f"{who}error: {message}"] + ([f"{who}hint: {hint}"] if hint else [])
    # In one piece: the processes of a run write to the same terminal.
    sys.stderr.write("\n".join(lines) + "\n")


@contextmanager
def _cancellable(again: str) -> Iterator[None]:
    """SIGTERM ends the body as Ctrl-C does; `again` is the command that continues."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        if is_one_of_several():
            again = "start the processes as before, with --resume"
        if process_index() == 0:
            print(f"cancelled\nhint: to continue: {again}", file=sys.stderr)
        raise typer.Exit(CANCELLED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _version(wanted: bool) -> None:
    if wanted:
        from entromask.doctor import version

        print(f"entromask {version('entromask')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    spec: SpecFile,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The run's folder; default: a new one under ENTROMASK_HOME/runs."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an unfinished run from its last checkpoint.")
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Send the metrics to a tracker too: tensorboard, mlflow, wandb or trackio; may be "
            "given repeatedly.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Events and results as JSON lines on stdout.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress; warnings and the table alone.")
    ] = False,
) -> None:
    """Pretrain and evaluate what SPEC describes."""
    from entromask.compatibility import advice
    from entromask.spec import RunSpec

    _hide_library_bars()
    description = RunSpec.load(spec, overrides).resolved()
    is_main = process_index() == 0
    if is_main and not quiet:
        for sentence in advice(description):
            print(f"note: {sentence}", file=sys.stderr)
    from entromask import pipeline
    from entromask.run_folder import default_folder

    folder = output or default_folder(description, settings().runs)
    _current.append(folder)
    again = ["entromask", "run", str(spec), *_repeated("--set", overrides)]
    again += [*_repeated("--track", track), "--output", str(folder)]
    with (
        _cancellable(shlex.join([*again, "--resume"])),
        reporter(Console(stderr=True), sys.stdout, as_json, quiet) as report,
    ):
        results = pipeline.run(
            description, output=folder, resume=resume, on_event=report, track=track or ()
        )
    if not is_main:
        return
    if as_json:
        print(json.dumps({"type": "results", "folder": str(results.folder), **results.data}))
        return
    _print_comparison([str(results.folder)], "text", None)
    print(f"\nRun folder: {results.folder}")


def _hide_library_bars() -> None:
    """transformers and the Hub's client draw bars of their own, in between ours and in logs."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _repeated(option: str, values: list[str] | None) -> list[str]:
    return [word for value in values or () for word in (option, value)]


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders, or ids under ENTROMASK_HOME/runs."),
    ],
    style: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="text|md|csv|latex",
            help="How the table is written: text, md, csv or latex (a booktabs tabular).",
        ),
    ] = "text",
    baseline: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Show the others as differences from this run."),
    ] = None,
) -> None:
    """Finished runs side by side: scores, losses, masks, cost; a method's seeds share a column."""
    _print_comparison(runs, style, baseline)


def _print_comparison(names: list[str], style: str, baseline: str | None) -> None:
    from typing import get_args

    from entromask.analysis import compare, read_run, render
    from entromask.analysis.render import Format

    if style not in get_args(Format):
        raise InputError(f"no format '{style}'", f"allowed: {', '.join(get_args(Format))}")
    if baseline is not None and baseline not in names:
        raise InputError(
            f"the baseline '{baseline}' is not among the runs", f"one of: {', '.join(names)}"
        )
    if style == "csv" and baseline is not None:
        raise InputError("CSV holds raw numbers, not differences", "leave out --baseline")
    found = [read_run(name) for name in names]
    home = names.index(baseline) if baseline is not None else None
    sys.stdout.write(render(compare(found, home), style))  # type: ignore[arg-type]


@app.command()
def schema(
    of_experiment: Annotated[
        bool, typer.Option("--experiment", help="Of an experiment, in place of a run.")
    ] = False,
) -> None:
    """Print the JSON Schema of a spec: every key with its default and what is allowed."""
    from entromask.experiments import ExperimentSpec
    from entromask.spec import RunSpec

    kind = ExperimentSpec if of_experiment else RunSpec
    print(json.dumps(kind.model_json_schema(), indent=2, ensure_ascii=False))


@app.command()
def strategies(as_json: Json = False) -> None:
    """List the masking presets."""
    from entromask.presets import MASKING_PRESETS

    if as_json:
        rows = [{"name": name, **asdict(preset)} for name, preset in MASKING_PRESETS.items()]
        print(json.dumps(rows, indent=2))
        return
    table = Table("preset", "what it masks", box=None, pad_edge=False)
    for name, preset in MASKING_PRESETS.items():
        table.add_row(name, preset.description)
    Console().print(table, highlight=False)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is here, what is missing and how to get it; exit 1 where runs cannot work."""
    from entromask.doctor import diagnose

    checks = diagnose()
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            print(f"{check.status:<8} {check.name:<19} {check.found}")
            if check.advice:
                print(f"{'':<8} {'':<19} -> {check.advice}")
    if any(check.status == "missing" for check in checks):
        raise typer.Exit(1)


app.command()(demo)
app.command()(preview)
app.command()(prefetch)
app.command()(up)
app.command()(submit)
app.command()(push)
app.command()(download)
app.command()(experiment)
app.command()(report)
app.command()(leaderboard)
app.add_typer(runs, name="runs")
app.add_typer(experiments, name="experiments")
app.add_typer(keys, name="keys")
