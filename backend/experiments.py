"""What is done with experiments: planned, submitted, extended, cancelled, continued."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from typing import Any

from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.tables import Experiment, Run
from backend.estimates import Clock, estimate, shared_by
from backend.idempotent import Answer
from backend.problems import ProblemError, missing
from backend.specs import check_spec
from backend.store import experiments as store
from backend.store.history import finished, speed, vocabulary
from backend.store.ids import new_id
from backend.store.jobs import restart, stop_run
from backend.store.locks import get_run
from backend.store.runs import RunToMake, create_queued_runs
from backend.store.states import OVER
from backend.submission import send_all, to_send, write_spec
from entromask.analysis.cautions import ENOUGH_SEEDS
from entromask.compatibility import advice
from entromask.experiments import ExperimentSpec
from entromask.experiments.cells import Cell
from entromask.experiments.planning import Plan, PlannedRun, plan
from entromask.glue.plan import plan as evaluation_plan
from entromask.resources import (
    Estimate,
    ExperimentExtension,
    ExperimentPlan,
    NewExperiment,
    PlannedCell,
)
from entromask.spec import RunSpec, TrainedTokenizer
from entromask.spec_errors import SpecError

Known = Mapping[tuple[str, int], str]

_WRITERS = 16


def planned(
    session: Session,
    spec: ExperimentSpec,
    known: Known | None = None,
    settled: Sequence[Cell] = (),
    former: bool = False,
) -> Plan:
    """The runs of an experiment, each spec checked as one that is submitted alone.

    Args:
        known, settled: the runs and the cells of an experiment that is there already.
        former: it was made before trained tokenizers had more keys, and keeps what it meant.

    Raises:
        SpecError: the experiment, or the spec of a run, cannot be used.
    """

    def check(data: dict[str, Any], to_come: Mapping[str, str]) -> tuple[RunSpec, str | None]:
        checked = check_spec(session, data, planned=to_come)
        return _as_before(checked.spec, data) if former else checked.spec, checked.waits_for

    # All seeds of a method at once: a look into the database for each run would take its time.
    @cache
    def of_group(group_hash: str) -> dict[int, str]:
        return store.finished_seeds(session, group_hash)

    return plan(
        spec,
        check=check,
        find_finished=lambda group, seed: of_group(group).get(seed),
        new_id=lambda: new_id("run"),
        known=known,
        settled=settled,
        vocabulary=lambda spec: vocabulary(session, spec),
    )


def _as_before(spec: RunSpec, data: dict[str, Any]) -> RunSpec:
    """A spec whose trained tokenizer means what it meant without the keys that `data` lacks."""
    tokenizer, written = spec.tokenizer, data.get("tokenizer") or {}
    if not isinstance(tokenizer, TrainedTokenizer) or set(written) - {"source", "vocab_size"}:
        return spec
    return spec.model_copy(
        update={"tokenizer": tokenizer.model_copy(update={"strip_accents": None})}
    )


def _is_former(run: Run) -> bool:
    tokenizer = run.spec.get("tokenizer") or {}
    return tokenizer.get("source") == "train" and "algorithm" not in tokenizer


def validate(session: Session, data: dict[str, Any]) -> dict[str, Any]:
    """The answer to `validate_only`, as `resources.ExperimentPlan`.

    Raises:
        SpecError: the experiment is refused.
    """
    spec = ExperimentSpec.parse(data)
    found = planned(session, spec)
    clock = Clock(finished(session), speed(session))
    costs = _costs(found, clock)
    cells = [_planned_cell(found, cell.key, costs) for cell in found.cells]
    new = {cell.key: len(cell.seeds) - cell.reused for cell in cells}
    seconds = [costs[run.id].seconds for run in found.new]
    return ExperimentPlan(
        name=spec.name,
        cells=cells,
        total=len(found.runs),
        new=len(found.new),
        jobs=sum(2 + len(evaluation_plan(run.spec.evaluation)) for run in found.new),
        tokens=_total(cells, new, "tokens"),
        flops=_total(cells, new, "flops"),
        seconds=None if None in seconds else sum(filter(None, seconds)),
        warnings=list(_warnings(spec, found)),
    ).model_dump()


def _costs(found: Plan, clock: Clock) -> dict[str, Estimate]:
    """What each run costs, by its id; what one does for all is counted once, with the first."""
    specs = {run.id: run.spec for run in found.runs}
    done = set(clock.shared)
    costs: dict[str, Estimate] = {}
    # By cell: the costs of its second run, which finds what the first has done for all. Further
    # seeds cost the same, unless each has a teacher of its own.
    later: dict[str, list[Estimate]] = {}
    for run in found.runs:
        before = later.setdefault(run.cell, [])
        if len(before) > 1 and run.spec.teacher is None:
            costs[run.id] = before[-1]
            continue
        teacher = specs.get(str(run.spec.teacher.run)) if run.spec.teacher is not None else None
        of_teacher = teacher.data() if teacher is not None else None
        costs[run.id] = estimate(run.spec, clock, of_teacher, done)
        before.append(costs[run.id])
        if not run.reused:
            done |= shared_by(run.spec, of_teacher)
    return costs


def _planned_cell(found: Plan, key: str, costs: Mapping[str, Estimate]) -> PlannedCell:
    cell = next(cell for cell in found.cells if cell.key == key)
    runs = [run for run in found.runs if run.cell == key]
    # The last run of a cell finds what the first has done for all.
    cost = costs[runs[-1].id]
    return PlannedCell(
        **asdict(cell),
        seeds=[run.seed for run in runs],
        reused=sum(run.reused for run in runs),
        tokens=cost.tokens,
        flops=cost.flops,
        seconds=cost.seconds,
    )


def _total(cells: Sequence[PlannedCell], new: Mapping[str, int], name: str) -> Any:
    """Over the runs to be done; None where one of them is not known."""
    parts = [(getattr(cell, name), new[cell.key]) for cell in cells if new[cell.key]]
    if any(value is None for value, _ in parts):
        return None
    return sum(value * count for value, count in parts)


def _warnings(spec: ExperimentSpec, found: Plan) -> Sequence[str]:
    notes = list(found.notes)
    if len(spec.seeds) < ENOUGH_SEEDS:
        notes.append(
            f"{len(spec.seeds)} of at least {ENOUGH_SEEDS} pretraining seeds: a difference of so "
            "few runs proves nothing"
        )
    said: dict[str, list[str]] = {}
    for cell in found.cells:
        run = next(run for run in found.runs if run.cell == cell.key)
        for sentence in advice(run.spec):
            said.setdefault(sentence, []).append(cell.label)
    notes += [f"{', '.join(labels)}: {sentence}" for sentence, labels in said.items()]
    tasks = {task for run in found.runs for task in run.spec.evaluation.tasks}
    if not tasks:
        notes.append("no tasks: the report will have losses, and no scores")
    return notes


def submit(session: Session, wanted: NewExperiment) -> Answer:
    """Adds an experiment and its runs to the transaction; their jobs are sent after its commit.

    Raises:
        SpecError: the experiment is refused.
    """
    spec = ExperimentSpec.parse(wanted.spec)
    found = planned(session, spec)
    experiment = store.create_experiment(
        session,
        name=spec.name,
        spec=spec.data(),
        cells=[asdict(cell) for cell in found.cells],
        plan_notes=found.notes,
        tags=wanted.tags,
        notes=wanted.notes,
        priority=wanted.priority,
    )
    return _add_runs(session, experiment, found.runs, set())


def _add_runs(
    session: Session, experiment: Experiment, runs: Sequence[PlannedRun], there: set[str]
) -> Answer:
    """Makes the new runs of a plan; `there` are the runs that stand in the experiment already."""
    new = [run for run in runs if not run.reused]
    wanted = [
        RunToMake(
            run.spec,
            run.id,
            experiment.tags,
            "",
            experiment.priority,
            run.waits_for,
            experiment.id,
        )
        for run in new
    ]
    jobs = to_send(create_queued_runs(session, wanted))
    come = [run for run in runs if run.id not in there]
    store.put(session, experiment, [(run.cell, run.seed, run.id, run.reused) for run in come])
    return Answer(
        experiment_view(session, experiment),
        before_commit=lambda: _write_specs(new),
        after_commit=lambda: send_all(jobs),
    )


def _write_specs(runs: Sequence[PlannedRun]) -> None:
    # Each waits for the disk: side by side they wait together.
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(lambda run: write_spec(run.id, run.spec), runs):
            pass


def extend(database: Database, experiment_id: str, wanted: ExperimentExtension) -> dict[str, Any]:
    """Adds seeds, methods or values of the matrix; what is there stays as it is.

    Raises:
        ProblemError: no such experiment, or nothing would change.
        SpecError: the extended experiment is refused.
    """
    with database.write() as session:
        experiment = _locked(session, experiment_id)
        spec = ExperimentSpec.parse(_extended(experiment.spec, wanted))
        if spec.data() == experiment.spec:
            raise ProblemError(
                "invalid_request",
                "the extension adds nothing to the experiment",
                "name new seeds, new methods, or new values of a key of its matrix",
            )
        answer = _replan(session, experiment, spec)
        if answer.before_commit:
            answer.before_commit()
    _finish(answer)
    return answer.body


def _extended(data: dict[str, Any], wanted: ExperimentExtension) -> dict[str, Any]:
    twice = [name for name in wanted.methods if name in data["methods"]]
    if twice:
        raise SpecError.at(
            ("methods", twice[0]),
            f"the experiment has a method {twice[0]} already",
            "another name; what has been run cannot be changed",
        )
    unknown = [key for key in wanted.matrix if key not in data["matrix"]]
    if unknown:
        raise SpecError.at(
            ("matrix", unknown[0]),
            f"matrix.{unknown[0]} is no key of this experiment's matrix",
            f"its keys are {', '.join(data['matrix']) or 'none'}; a new key is a new experiment",
        )
    seeds = [*data["seeds"], *(seed for seed in wanted.seeds if seed not in data["seeds"])]
    matrix = {
        key: [*values, *(v for v in wanted.matrix.get(key, ()) if v not in values)]
        for key, values in data["matrix"].items()
    }
    methods = {**data["methods"], **wanted.methods}
    return {**data, "seeds": seeds, "methods": methods, "matrix": matrix}


def _replan(session: Session, experiment: Experiment, spec: ExperimentSpec) -> Answer:
    """Makes what is missing of an experiment."""
    there = store.runs_of(session, experiment.id)
    known = {place: run.id for place, run in there.items()}
    former = any(_is_former(run) for run in there.values())
    found = planned(session, spec, known, [Cell(**cell) for cell in experiment.cells], former)
    cells = {cell.key: asdict(cell) for cell in found.cells}
    # What was planned once stays, also where the plan of today has no place for it.
    kept = [cell for cell in experiment.cells if cell["key"] not in cells]
    experiment.spec, experiment.cells = spec.data(), [*cells.values(), *kept]
    experiment.plan_notes = found.notes
    experiment.version += 1
    session.flush()
    return _add_runs(session, experiment, found.runs, set(known.values()))


def _finish(answer: Answer) -> None:
    if answer.after_commit:
        answer.after_commit()


def cancel(database: Database, experiment_id: str) -> dict[str, Any]:
    """Asks every run that the experiment made, and that is not over, to stop.

    Raises:
        ProblemError: no such experiment, or it is over.
    """
    with database.write() as session:
        experiment = _locked(session, experiment_id)
        going = [
            one.run_id
            for one in store.standings(session, [experiment.id])[experiment.id]
            if one.status not in OVER and not one.reused
        ]
        if not going:
            raise ProblemError(
                "wrong_state",
                f"the experiment {experiment.id} is over and cannot be cancelled",
                "retry does its failed and cancelled runs again",
            )
        rows = [get_run(session, id_, lock=True) for id_ in _awaited_first(session, going)]
        # Those that wait end first: they shall not fail because what they wait for is cancelled.
        for run in reversed(rows):
            if run is not None and run.status not in OVER:
                stop_run(session, run, "cancel")
        experiment.version += 1
        session.flush()
        return experiment_view(session, experiment)


def _awaited_first(session: Session, ids: Sequence[str]) -> list[str]:
    """The order in which runs are locked: a run before those that wait for it."""
    awaited = store.awaited(session, ids)
    return sorted(ids, key=lambda id_: (id_ not in awaited, id_))


def retry(database: Database, experiment_id: str) -> dict[str, Any]:
    """Continues the failed and the cancelled runs, and makes those again that were deleted.

    Raises:
        ProblemError: no such experiment, or there is nothing to do again.
    """
    with database.write() as session:
        experiment = _locked(session, experiment_id)
        rows = store.runs_of(session, experiment.id)
        wanted = [run.id for run in rows.values() if run.status in ("failed", "cancelled")]
        missing_runs = store.total(experiment) - len(rows)
        if not wanted and not missing_runs:
            raise ProblemError(
                "wrong_state",
                f"the experiment {experiment.id} has no failed, cancelled or deleted run",
                "extend adds seeds or methods",
            )
        jobs: list[tuple[str, int]] = []
        # In this order nobody waits for a run that has ended badly.
        for run_id in _awaited_first(session, wanted):
            run = get_run(session, run_id, lock=True)
            if run is not None:
                jobs += [(id_, run.priority) for id_ in restart(session, run)]
        answer = _replan(session, experiment, ExperimentSpec.parse(experiment.spec))
        answer.body = experiment_view(session, experiment)
        if answer.before_commit:
            answer.before_commit()
    send_all(jobs)
    _finish(answer)
    return answer.body


def delete(database: Database, experiment_id: str) -> None:
    """Removes an experiment that is over. Its runs stay: they are results of their own.

    Raises:
        ProblemError: no such experiment, or it is not over.
    """
    with database.write() as session:
        experiment = _locked(session, experiment_id)
        runs = store.standings(session, [experiment.id])[experiment.id]
        if any(run.status not in OVER for run in runs):
            raise ProblemError(
                "wrong_state",
                f"the experiment {experiment.id} is {store.status_now(experiment, runs)} and "
                "cannot be deleted",
                "cancel it first, or wait until it is over",
            )
        session.delete(experiment)


def _locked(session: Session, experiment_id: str) -> Experiment:
    experiment = store.get_experiment(session, experiment_id, lock=True)
    if experiment is None:
        raise missing("experiment", experiment_id)
    return experiment


def experiment_view(session: Session, experiment: Experiment) -> dict[str, Any]:
    """An experiment, as `resources.Experiment`."""
    runs = store.standings(session, [experiment.id])[experiment.id]
    return view_of(experiment, runs, with_cells=True)


def view_of(
    experiment: Experiment, runs: Sequence[store.Standing], *, with_cells: bool
) -> dict[str, Any]:
    counts = Counter(run.status for run in runs)
    total = max(len(runs), store.total(experiment))
    over = sum(counts[status] for status in OVER)
    view: dict[str, Any] = {
        "id": experiment.id,
        "object": "experiment",
        "name": experiment.name,
        "status": store.status_now(experiment, runs),
        "spec": experiment.spec,
        "tags": experiment.tags,
        "notes": experiment.notes,
        "priority": experiment.priority,
        "created_at": experiment.created_at,
        "runs": dict(counts),
        "total": total,
        "fraction": over / total if total else 1.0,
        "plan_notes": experiment.plan_notes,
    }
    if with_cells:
        of_cell: dict[str, list[dict[str, Any]]] = {}
        for run in sorted(runs, key=lambda run: run.seed):
            of_cell.setdefault(run.cell, []).append(_run_view(run))
        view["cells"] = [
            {**cell, "runs": of_cell.get(cell["key"], [])} for cell in experiment.cells
        ]
    return view


def _run_view(run: store.Standing) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "seed": run.seed,
        "status": run.status,
        "reused": run.reused,
        "stage": run.stage,
        "fraction": (run.progress or {}).get("fraction"),
    }
