"""`entromask submit`: hands a spec to the service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entromask.commands.options import Json, Notes, Overrides, Priority, SpecFile, Tags
from entromask.commands.service import connect, plain, print_json, watch
from entromask.resources import DEFAULT_PRIORITY
from entromask.terminal import duration

if TYPE_CHECKING:
    from entromask.resources import Validation


def submit(
    spec: SpecFile,
    overrides: Overrides = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show its progress, and its scores at the end.")
    ] = False,
    tags: Tags = None,
    notes: Notes = "",
    priority: Priority = DEFAULT_PRIORITY,
    validate: Annotated[
        bool, typer.Option("--validate", help="Only say what it would be and cost; queue nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Queue what SPEC describes; the service of `entromask up` runs it."""
    from entromask.spec import RunSpec

    description = RunSpec.load(spec, overrides)
    with connect() as client:
        if validate:
            _show(client.validate_run(description), spec, as_json)
            return
        run = client.create_run(description, tags=tags or (), notes=notes, priority=priority)
        if not as_json:
            for warning in run.warnings:
                print(f"warning: {plain(warning)}", file=sys.stderr)
        if follow:
            if not as_json:
                print(f"run {run.id}", file=sys.stderr)
            watch(client, run, as_json)
        elif as_json:
            print_json(run.model_dump())
        else:
            # The id alone on stdout: RUN=$(entromask submit …)
            print(run.id)
            print(
                f"queued; watch it: entromask runs logs {run.id} --follow\n"
                "all runs: entromask runs",
                file=sys.stderr,
            )


def _show(found: Validation, spec: Path, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump())
        return
    estimate = found.estimate
    figures = (
        ("steps", estimate.steps, "{:,}"),
        ("tokens", estimate.tokens, "{:,}"),
        ("parameters", estimate.parameters, "{:,}"),
        ("FLOPs", estimate.flops, "{:.2e}"),
    )
    print(f"{spec} is valid; spec {found.spec_hash[:8]}, method {found.group_hash[:8]}")
    for name, value, style in figures:
        if value is not None:
            print(f"{name:<12}{style.format(value)}")
    if estimate.seconds is not None:
        print(f"{'time':<12}about {duration(estimate.seconds)}{_by_stage(estimate.stages)}")
    print(f"{'basis':<12}{estimate.basis}")
    for warning in found.warnings:
        print(f"warning: {plain(warning)}", file=sys.stderr)


def _by_stage(stages: dict[str, float]) -> str:
    """The stages that take longer than a second, in brackets."""
    parts = [f"{stage} {duration(took)}" for stage, took in stages.items() if took >= 1]
    return f" ({', '.join(parts)})" if parts else ""
