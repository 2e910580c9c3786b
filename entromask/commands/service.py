"""What the commands about the service share: finding a run, following it, saying how it ended."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer
from rich.console import Console

from entromask.errors import EntromaskError, InputError
from entromask.terminal import reporter

if TYPE_CHECKING:
    from entromask.client import Client
    from entromask.resources import Run

# The exit code that the end of a run stands for.
EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 130}
INTERRUPTED = 130
_SHOWN = 5
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _Named(Protocol):
    id: str


Item = TypeVar("Item", bound=_Named)


def connect() -> Client:
    """A client of the service that the settings name."""
    from entromask.client import Client

    return Client()


def find(client: Client, word: str) -> Run:
    """The run with an id, or with one that only it begins with; `run_` may be left out.

    Raises:
        InputError: no run, or several.
    """
    return by_beginning(word, "run", "run_", client.get_run, lambda q: client.list_runs(q=q))


def by_beginning(
    word: str,
    kind: str,
    prefix: str,
    get: Callable[[str], Item],
    search: Callable[[str], Iterable[Item]],
) -> Item:
    """What has an id, or the only one whose id begins so; the kind's prefix may be left out.

    Raises:
        InputError: none, or several.
    """
    from entromask.rest.errors import ApiError

    whole = word if word.startswith(prefix) else prefix + word
    try:
        return get(whole)
    except ApiError as error:
        if error.status != 404:
            raise
    ids = (one.id for one in search(whole) if one.id.startswith(whole))
    found = list(islice(ids, _SHOWN + 1))
    if len(found) == 1:
        return get(found[0])
    if not found:
        raise InputError(f"no {kind} '{word}'", f"`entromask {kind}s` lists the {kind}s")
    more = ", …" if len(found) > _SHOWN else ""
    raise InputError(
        f"several {kind}s begin with '{word}': {', '.join(found[:_SHOWN])}{more}",
        "give more of the id",
    )


def each(words: Iterable[str], act: Callable[[Client, Run], None]) -> None:
    """Does something with each run, also when it fails with another; exits with the worst code."""
    code = 0
    with connect() as client:
        for word in words:
            try:
                act(client, find(client, word))
            except EntromaskError as error:
                print(f"error: {error.message}", file=sys.stderr)
                if error.hint:
                    print(f"hint: {error.hint}", file=sys.stderr)
                code = max(code, error.exit_code)
    if code:
        raise typer.Exit(code)


def watch(client: Client, run: Run, as_json: bool = False) -> None:
    """Shows a run's progress until it is over, then its scores; exits with what its end stands for.

    Ctrl-C ends the watching alone.
    """
    console = Console(stderr=True)
    if not as_json:
        _say_what_it_waits_for(client, run, console)
    try:
        with reporter(console, sys.stdout, as_json) as report:
            for event in client.follow(run):
                report(event.model_dump(exclude_none=True))
        run = client.get_run(run)
    except KeyboardInterrupt:
        print(
            f"\nThe run goes on. To watch it again: entromask runs logs {run.id} --follow\n"
            f"To stop it: entromask runs cancel {run.id}",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json({"type": "run", **run.model_dump()})
    else:
        _say_how_it_ended(client, run)
    if code := EXIT_CODES.get(run.status, 1):
        raise typer.Exit(code)


def _say_what_it_waits_for(client: Client, run: Run, console: Console) -> None:
    if run.status != "queued":
        return
    workers = [worker for worker in client.workers() if worker.queue == "train"]
    if not workers:
        console.print("queued; no worker is there to run it yet", highlight=False)
    elif all(worker.status == "busy" for worker in workers):
        console.print("queued; every worker is busy", highlight=False)


def _say_how_it_ended(client: Client, run: Run) -> None:
    if run.status == "succeeded":
        print_scores(client, run)
        print(f"\nRun {run.id}. Its model and all else: entromask runs download {run.id}")
    elif run.status == "failed":
        print(f"error: run {run.id} failed: {reason(run)}", file=sys.stderr)
        if run.error and run.error.hint:
            print(f"hint: {run.error.hint}", file=sys.stderr)
    else:
        print(
            f"cancelled\nhint: to continue: entromask runs resume {run.id}",
            file=sys.stderr,
        )


def print_scores(client: Client, run: Run) -> None:
    """The table that ends a run."""
    from entromask.analysis import compare, render
    from entromask.analysis.runs import Run as Finished
    from entromask.spec import RunSpec

    finished = Finished(run.name, RunSpec.parse(run.spec), client.results(run))
    sys.stdout.write(render(compare([finished], None), "text"))


def reason(run: Run) -> str:
    """Why it failed, in words."""
    return plain(run.error.message) if run.error else str(run.reason or "no reason is known")


def plain(text: str) -> str:
    """Without characters that a terminal obeys."""
    return _CONTROL.sub("\ufffd", text)


def print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False), flush=True)
