"""Which runs a comparison is of, and what the analysis makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backend.db.tables import Run as Row
from backend.folders import run_home
from backend.problems import ProblemError
from backend.store.runs import find_runs, runs_of_groups
from entromask.analysis import Run, compare
from entromask.analysis.runs import read_json
from entromask.analysis.table import Comparison
from entromask.errors import InputError
from entromask.resources import MOST_IN_GROUPS, CompareRequest
from entromask.spec import RunSpec, SpecError

# What has to happen before a run of this status can be compared.
_INSTEAD = {
    "queued": "wait until it has succeeded",
    "running": "wait until it has succeeded",
    "cancelling": "resume continues it once it is cancelled",
    "succeeded": "its results are lost; clone it to run it again",
    "failed": "retry continues a failed run",
    "cancelled": "resume continues a cancelled run",
}


def runs_to_compare(session: Session, wanted: CompareRequest) -> list[Row]:
    """The runs that a request names, in its order; of a group by their seeds.

    Raises:
        ProblemError: not exactly one of runs and groups, one twice, one that is not there, or one
            without results.
    """
    if (wanted.runs is None) == (wanted.groups is None):
        raise _refused("", "give exactly one of runs and groups", "runs: ids; groups: group hashes")
    if wanted.runs is not None:
        _each_once("runs", "run", wanted.runs)
        return _named(session, wanted.runs)
    groups = wanted.groups or []
    _each_once("groups", "group", groups)
    return _of_groups(session, groups)


def _each_once(key: str, kind: str, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise _refused(
                f"/{key}/{place}",
                f"the {kind} {name[:200]} is named twice",
                f"name each {kind} once",
            )


def _refused(where: str, sentence: str, hint: str) -> ProblemError:
    return ProblemError("invalid_request", sentence, hint, errors=[(where, sentence)])


def _several(code: str, hint: str, errors: Sequence[tuple[str, str]]) -> ProblemError:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(code, errors[0][1] + more, hint, errors=errors)


def _named(session: Session, ids: Sequence[str]) -> list[Row]:
    rows = find_runs(session, ids)
    unknown = [
        (f"/runs/{i}", f"no run '{id_[:200]}'") for i, id_ in enumerate(ids) if id_ not in rows
    ]
    if unknown:
        raise _several("not_found", "GET /v1/runs lists them", unknown)
    found = [rows[id_] for id_ in ids]
    without = [
        (f"/runs/{i}", f"the run {row.id} is {row.status} and has no results to compare")
        for i, row in enumerate(found)
        if not _is_done(row)
    ]
    if without:
        first = next(row for row in found if not _is_done(row))
        raise _several("wrong_state", _INSTEAD[first.status], without)
    return found


def _of_groups(session: Session, groups: Sequence[str]) -> list[Row]:
    rows = runs_of_groups(session, groups)
    unknown = [
        (f"/groups/{i}", f"no run has the group hash '{group[:200]}'")
        for i, group in enumerate(groups)
        if not rows[group]
    ]
    if unknown:
        raise _several("not_found", "a run's group_hash names its group: GET /v1/runs", unknown)
    without = [
        (f"/groups/{i}", f"no run of the group {group} has succeeded: {_states(rows[group])}")
        for i, group in enumerate(groups)
        if not any(map(_is_done, rows[group]))
    ]
    if without:
        raise _several("wrong_state", "wait until one has, or leave the group out", without)
    found = [row for group in groups for row in rows[group] if _is_done(row)]
    if len(found) > MOST_IN_GROUPS:
        raise _refused(
            "/groups",
            f"the groups have {len(found)} succeeded runs; at most {MOST_IN_GROUPS} are compared "
            "at once",
            "name fewer groups, or single runs",
        )
    return found


def _is_done(row: Row) -> bool:
    return row.status == "succeeded" and bool(row.results)


def _states(rows: Sequence[Row]) -> str:
    counted = Counter(row.status for row in rows)
    return ", ".join(f"{count} {status}" for status, count in counted.items())


def compared(rows: Sequence[Row], wanted: CompareRequest) -> Comparison:
    """The comparison of runs that have results.

    Raises:
        ProblemError: the baseline is none of them.
    """
    runs = [finished_run(row) for row in rows]
    home = None
    if wanted.baseline is not None:
        known = [place for place, run in enumerate(runs) if wanted.baseline in (run.id, run.group)]
        if not known:
            raise _refused(
                "/baseline",
                f"the baseline '{wanted.baseline}' is not among what is compared",
                "name one of the runs, or the group hash of one",
            )
        home = known[0]
    return compare(runs, home, wanted.group)


def finished_run(row: Row) -> Run:
    """A run by its row; its folder tells of corpus and tokenizer what the spec cannot.

    Raises:
        ProblemError: its spec is of another version.
    """
    home = run_home(row.id)
    results = {**(row.results or {}), "group_hash": row.group_hash}
    try:
        spec = RunSpec.parse(row.spec)
    except SpecError:
        raise _refused(
            "",
            f"the run {row.id} is of a version whose specs cannot be read any more",
            "leave it out",
        ) from None
    return Run(row.name, spec, results, _environment(home), home, row.id)


def _environment(home: Path) -> dict[str, Any]:
    try:
        return read_json(home / "environment.json") or {}
    except (InputError, OSError):  # what is damaged tells nothing
        return {}
