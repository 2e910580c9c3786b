"""Checks of a spec that came over the API: the paths it may name, the runs it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backend.db.tables import Run
from backend.hub_names import hub_name_fault
from backend.store import corpora
from backend.store.locks import get_run
from entromask.errors import InputError
from entromask.modeling.folders import check_model_folder
from entromask.modeling.sources import model_source
from entromask.settings import settings
from entromask.spec import (
    HubCorpus,
    HubTokenizer,
    LocalCorpus,
    LocalTokenizer,
    ModelReference,
    RunSpec,
    UploadCorpus,
)
from entromask.spec_errors import Location, Problem, SpecError

_TAG_LENGTH = 100
_HINT = "ENTROMASK_DATA_DIRS names the folders that a spec sent to the API may use"


@dataclass(frozen=True)
class CheckedSpec:
    """A resolved spec, and the run that has to succeed before it can start."""

    spec: RunSpec
    waits_for: str | None


def check_spec(
    session: Session,
    data: dict[str, Any],
    *,
    lock: bool = False,
    planned: Mapping[str, str] | None = None,
) -> CheckedSpec:
    """A spec from the body of a request, with every default written out.

    Args:
        lock: hold the runs that it names, so that none of them ends or goes before the commit.
        planned: runs that it may name before they are made, by id, with their status.

    Raises:
        SpecError: keys or values that are not allowed, a path outside the data folders, a run
            that is not there or has no model to come.
    """
    spec = RunSpec.parse(data)
    found = [*_tags(spec), *_paths(spec), *_hub_names(spec), *_uploads(session, spec)]
    waits, more = _runs(session, spec, lock, planned or {})
    _refuse([*found, *more])
    return CheckedSpec(spec.resolved(), waits)


def _refuse(found: list[Problem]) -> None:
    if found:
        lines = [f"{'.'.join(map(str, place))}: {sentence}" for place, sentence in found]
        raise SpecError("spec: " + "; ".join(lines), _HINT, found)


def _tags(spec: RunSpec) -> Iterator[Problem]:
    for number, tag in enumerate(spec.tags):
        if not 0 < len(tag) <= _TAG_LENGTH:
            yield Problem(("tags", number), f"a tag has 1 to {_TAG_LENGTH} characters")


def _references(spec: RunSpec) -> Iterator[tuple[Location, ModelReference]]:
    if spec.teacher is not None:
        yield ("teacher",), spec.teacher
    if isinstance(spec.model.init, ModelReference):
        yield ("model", "init"), spec.model.init


def _local_paths(spec: RunSpec) -> Iterator[tuple[Location, str]]:
    if isinstance(spec.corpus, LocalCorpus):
        yield ("corpus", "path"), spec.corpus.path
    if isinstance(spec.tokenizer, LocalTokenizer):
        yield ("tokenizer", "path"), spec.tokenizer.path
    for place, reference in _references(spec):
        if reference.path is not None:
            yield (*place, "path"), reference.path
    source = spec.evaluation.source
    if source is not None and isinstance(source.local, str):
        yield ("evaluation", "source", "local"), source.local
    elif source is not None:
        for number, folder in enumerate(source.folders):
            yield ("evaluation", "source", "local", number), folder
    for name, task in spec.evaluation.user_tasks.items():
        yield ("evaluation", "user_tasks", name, "path"), task.path


def _paths(spec: RunSpec) -> Iterator[Problem]:
    for place, path in _local_paths(spec):
        sentence = check_path(path)
        if sentence:
            yield Problem(place, sentence)
    for place, reference in _references(spec):
        # A folder that is not on this machine is the workers' own.
        if reference.path is not None and check_path(reference.path) is None:
            folder = Path(reference.path).expanduser()
            try:
                if folder.exists():
                    check_model_folder(folder)
            except InputError as error:
                yield Problem((*place, "path"), error.message)


def _hub_names(spec: RunSpec) -> Iterator[Problem]:
    """What stands for the Hub must not be a folder here: it would be read instead."""
    named: list[tuple[Location, str | None]] = [
        ((*place, "hub"), reference.hub) for place, reference in _references(spec)
    ]
    if isinstance(spec.corpus, HubCorpus):
        named.append((("corpus", "name"), spec.corpus.name))
    if isinstance(spec.tokenizer, HubTokenizer):
        named.append((("tokenizer", "name"), spec.tokenizer.name))
    for place, name in named:
        fault = hub_name_fault(name) if name is not None else None
        if fault:
            yield Problem(place, fault)


def _uploads(session: Session, spec: RunSpec) -> Iterator[Problem]:
    if isinstance(spec.corpus, UploadCorpus) and not corpora.exists(session, spec.corpus.id):
        yield Problem(("corpus", "id"), f"no uploaded corpus '{spec.corpus.id}'")


def check_path(path: str) -> str | None:
    """What is wrong with a path that a request names; None where nothing is.

    Symbolic links are resolved first. What lies in a run of this server may always be named.
    """
    try:
        given = Path(path).expanduser()
        resolved = given.resolve()
    except (OSError, RuntimeError, ValueError):
        return f"'{path[:200]}' is not a path"
    if not given.is_absolute():
        return f"'{path[:200]}' is relative; the server needs an absolute path"
    folders = settings().data_folders
    roots = [*(folders or []), settings().runs.resolve()]
    inside = [root for root in roots if resolved.is_relative_to(root)]
    if folders is not None and not inside:
        allowed = ", ".join(map(str, folders)) or "none"
        return f"'{path[:200]}' is not in a folder that specs may name; allowed: {allowed}"
    # Where the folder itself is not here, it is the workers' own.
    if (folders is None or any(root.is_dir() for root in inside)) and not _exists(resolved):
        return f"there is no '{path[:200]}'"
    return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _runs(
    session: Session, spec: RunSpec, lock: bool, planned: Mapping[str, str]
) -> tuple[str | None, list[Problem]]:
    """The run to wait for, and what is wrong with the runs that a spec names."""
    named = {ref.run for _, ref in _references(spec) if ref.run is not None} - set(planned)
    # In one order everywhere, so that two requests never wait for each other.
    rows = {name: get_run(session, name, lock=lock) for name in sorted(named)}
    waits: list[str] = []
    found: list[Problem] = []
    for place, reference in _references(spec):
        if reference.run is None:
            continue
        if reference.run in planned:
            if planned[reference.run] != "succeeded" and reference.run not in waits:
                waits.append(reference.run)
            continue
        row = rows[reference.run]
        sentence = _folder_of_a_run(reference.run) if row is None else _state_of(row)
        if reference.checkpoint is not None:
            found += _checkpoint(place, reference, row is not None)
        elif sentence:
            found.append(Problem((*place, "run"), sentence))
        elif row is not None and row.status != "succeeded" and row.id not in waits:
            waits.append(row.id)
    if len(waits) > 1:
        sentence = f"the runs {' and '.join(waits)} are both unfinished; a run waits for one"
        found.append(Problem(("teacher", "run"), sentence))
    return (waits[0] if waits else None), found


def _checkpoint(place: Location, reference: ModelReference, known: bool) -> Iterator[Problem]:
    """A checkpoint is there already, or never: nothing waits for it."""
    sentence = None if known else _folder_of_a_run(str(reference.run))
    if sentence:
        yield Problem((*place, "run"), sentence)
        return
    try:
        model_source(reference)
    except InputError as error:
        yield Problem((*place, "checkpoint"), error.message)


def _state_of(run: Run) -> str | None:
    verb = {"failed": "retry", "cancelled": "resume", "cancelling": "resume"}.get(run.status)
    if verb is None:
        return None
    return f"the run {run.id} is {run.status} and has no model; {verb} it first"


def _folder_of_a_run(name: str) -> str | None:
    """A run that the database does not know: by its path, or made here without the service."""
    if "/" in name or name.startswith(("~", ".")):
        sentence = check_path(name)
        if sentence is None and not (Path(name).expanduser() / "spec.yaml").is_file():
            return f"'{name[:200]}' holds no spec.yaml, so it is no run"
        return sentence
    try:
        if (settings().runs / name / "spec.yaml").is_file():
            return None
    except (OSError, ValueError):
        pass
    return f"no run '{name[:200]}'"
