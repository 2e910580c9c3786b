"""`entromask push` and `download`: a run's model to the Hub, and models from there or a service."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entromask.commands.options import Json
from entromask.commands.service import connect, find, print_json
from entromask.errors import EntromaskError, InputError

if TYPE_CHECKING:
    from entromask.analysis.model_card import Interval
    from entromask.analysis.runs import Run

# What a push needs of a run on the service.
_NEEDED = ("model", "spec.yaml", "results.json", "environment.json")


def push(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run's folder, its id under ENTROMASK_HOME/runs, or the service's.",
        ),
    ],
    repository: Annotated[
        str,
        typer.Argument(
            metavar="REPOSITORY", help="NAMESPACE/NAME on the Hub; made if it is not there."
        ),
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Of a repository that is made: only you see it.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="A branch; made if it is not there. Default: main.")
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The run's experiment: its intervals stand in the model card."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder that would go, and list it.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --dry-run writes; default: a new one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish a finished run's model on the Hugging Face Hub, with a model card and its spec."""
    from entromask.sharing import check_repository, publish
    from entromask.sharing import push as upload

    if output is not None and not dry_run:
        raise InputError("--output is for --dry-run", "leave it out, or add --dry-run")
    check_repository(repository)
    _prepare(repository)
    with _finished(run) as found, tempfile.TemporaryDirectory(prefix="entromask-push-") as place:
        intervals = None if experiment is None else _intervals(experiment, found)
        folder = Path(place) / "model"
        if dry_run:
            folder = output or Path(tempfile.mkdtemp(prefix="entromask-push-"))
        published = publish(found, folder, intervals)
        url = None if dry_run else upload(published, repository, private, revision)
    if as_json:
        print_json(
            {
                "repository": repository,
                "commit": url,
                "folder": str(folder) if dry_run else None,
                "files": published.files,
                "paths_shortened": published.shortened,
            }
        )
        return
    print("\n".join(published.files))
    if published.shortened:
        print("note: paths of this machine are shortened to their last part", file=sys.stderr)
    print(f"would go to {repository}: {folder}" if dry_run else f"pushed: {url}", file=sys.stderr)


def download(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAMESPACE/NAME|RUN",
            help="A model on the Hub, or the id of a run of the service.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Into this folder; default: one with its name or id."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Of the Hub's repository: a branch, tag or commit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring a model here and make sure that it can be a teacher: no pickle, no code of its own."""
    from entromask.sharing import check_loads, download_from_hub

    if "/" in name:
        from entromask.sharing import check_repository

        check_repository(name)
        _prepare(name)
        folder = download_from_hub(name, revision, output or Path(name.partition("/")[2]))
    elif revision is not None:
        raise InputError(f"'{name}' is a run, and has no revision", "leave out --revision")
    else:
        with connect() as client:
            run = find(client, name)
            root = output or Path(run.id)
            client.download(run, "model", root)
        folder = root / "model"
    parameters = check_loads(folder)
    if as_json:
        files = sorted(file.name for file in folder.iterdir())
        print_json({"folder": str(folder), "parameters": parameters, "files": files})
        return
    print(folder)
    print(
        f"It loads: {parameters / 1e6:,.1f} M parameters. As a teacher in a spec:\n"
        f"  teacher: {{path: {folder}}}",
        file=sys.stderr,
    )


def _prepare(name: str) -> None:
    """The Hub's libraries read their settings when they are imported."""
    from entromask.hub import set_offline
    from entromask.spec import ModelReference, RunSpec

    set_offline(RunSpec(teacher=ModelReference(hub=name)))
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@contextmanager
def _finished(word: str) -> Iterator[Run]:
    """The run of a folder or of this home; else what is needed of the service's, for a while."""
    from entromask.analysis.runs import read_run
    from entromask.rest.errors import UnreachableError
    from entromask.spec import run_folder

    try:
        here: str | None = str(run_folder(word))
    except InputError as error:
        here, missing = None, error
    if here is not None:
        yield read_run(here)
        return
    with tempfile.TemporaryDirectory(prefix="entromask-run-") as place, connect() as client:
        try:
            run = find(client, word)
        except UnreachableError:
            raise InputError(
                f"{missing.message}, and no service answers at {client.url}", missing.hint
            ) from None
        if run.status != "succeeded":
            raise InputError(
                f"run {run.id} is {run.status}, and has no results to publish",
                f"wait for it: entromask runs logs {run.id} --follow",
            )
        folder = Path(place) / run.id
        for path in _NEEDED:
            client.download(run, path, folder)
        yield read_run(str(folder))


def _intervals(experiment: str, run: Run) -> dict[str, Interval]:
    """The intervals of the cell of an experiment that a run is part of, by task."""
    from entromask.analysis.model_card import Interval
    from entromask.commands.experiments import find as find_experiment

    assert run.folder is not None
    with connect() as client:
        summary = client.summary(find_experiment(client, experiment))
    tasks = {measure.key for measure in summary.measures if measure.kind == "task"}
    for cell in summary.cells:
        if run.folder.name in {one.id for one in cell.runs}:
            return {
                one.measure: Interval(one.low, one.high, one.n)
                for one in cell.results
                if one.measure in tasks and one.low is not None and one.high is not None
            }
    raise EntromaskError(
        f"the experiment {experiment} has no run {run.folder.name}",
        f"its runs: entromask experiments show {experiment}",
    )
