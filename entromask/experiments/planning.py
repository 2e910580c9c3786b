"""From an experiment to its runs: which there are, in which order, which of them exist already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from entromask.compatibility import uses_teacher
from entromask.errors import InputError
from entromask.experiments import controls
from entromask.experiments.cells import (
    Cell,
    axes_of,
    baseline_of,
    cells_of,
    slug,
    spec_of,
)
from entromask.experiments.spec import MOST_RUNS, ExperimentSpec
from entromask.settings import settings
from entromask.spec import LocalTokenizer, RunSpec, TrainedTokenizer
from entromask.spec_errors import HINT, Problem, SpecError

# (data, the runs to come by id) -> (the resolved spec, the run that it waits for).
Check = Callable[[dict[str, Any], Mapping[str, str]], tuple[RunSpec, str | None]]
# (group hash, seed) -> the id of a run that succeeded.
FindFinished = Callable[[str, int], str | None]


@dataclass(frozen=True)
class PlannedRun:
    """A run of a cell. With `reused` it has succeeded before, and nothing is to be done."""

    cell: str
    seed: int
    id: str
    spec: RunSpec
    waits_for: str | None
    reused: bool


@dataclass
class Plan:
    """All runs of an experiment, in the order in which they are to be queued."""

    cells: list[Cell] = field(default_factory=list)
    runs: list[PlannedRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def new(self) -> list[PlannedRun]:
        return [run for run in self.runs if not run.reused]


def plan(
    spec: ExperimentSpec,
    *,
    check: Check,
    find_finished: FindFinished,
    new_id: Callable[[], str],
    known: Mapping[tuple[str, int], str] | None = None,
    settled: Sequence[Cell] = (),
    vocabulary: controls.Vocabulary = lambda spec: None,
) -> Plan:
    """The runs of an experiment: teachers first, then baselines, controls, methods; seed by seed.

    Args:
        check: refuses a spec that the service would refuse.
        find_finished: looks for a run to take over.
        known: by (cell, seed), the runs that an experiment to be extended has already.
        settled: the cells of that experiment. Its methods keep their controls at equal compute,
            whatever has become known of the vocabulary since.
        vocabulary: looks for the true size of a spec's vocabulary.

    Raises:
        SpecError: the experiment, or the spec of one of its runs, cannot be used.
    """
    there = {cell.key: cell for cell in settled}
    planner = _Planner(spec, check, find_finished, new_id, dict(known or {}), there, vocabulary)
    return planner.plan()


@dataclass
class _Planner:
    spec: ExperimentSpec
    check: Check
    find_finished: FindFinished
    new_id: Callable[[], str]
    known: dict[tuple[str, int], str]
    settled: Mapping[str, Cell]
    vocabulary: controls.Vocabulary
    found: Plan = field(default_factory=Plan)
    # What later specs may name, by id: the run's status, and its spec.
    planned: dict[str, str] = field(default_factory=dict)
    specs: dict[str, RunSpec] = field(default_factory=dict)
    # By the name of a teacher, or by (name of a method, seed): the id of the run.
    names: dict[str, str] = field(default_factory=dict)
    of_seed: dict[tuple[str, int], str] = field(default_factory=dict)

    def plan(self) -> Plan:
        for label, chosen in self.spec.teachers.items():
            self._add_teacher(label, chosen)
        methods = cells_of(self.spec)
        self._refuse_names_twice(methods)
        seeds = self.spec.seeds
        ordered = self._by_need(methods)
        # A method whose runs teach others comes before them; all seeds of it, as of the others.
        first = {cell.key: self._resolve(cell, seeds[0]) for cell in ordered}
        self._refuse_twins(ordered, first)
        cells = self._with_controls(ordered, first)
        if len(cells) * len(seeds) > MOST_RUNS:
            raise SpecError.at(
                (),
                f"the experiment has {len(cells) * len(seeds):,} runs ({len(cells)} cells with "
                f"{len(seeds)} seeds); at most {MOST_RUNS:,} are planned at once",
                "take fewer seeds or a smaller matrix",
            )
        self.found.cells += cells
        self._forget(ordered, seeds[0])
        for seed in seeds:
            for cell in cells:
                self._add(cell, seed)
        self._sort()
        return self.found

    def _add_teacher(self, label: str, chosen: Mapping[str, Any]) -> None:
        cell = Cell(f"teacher-{slug(label)}", label, "teacher", dict(chosen))
        if any(other.key == cell.key for other in self.found.cells):
            raise SpecError.at(
                ("teachers", label), f"two teachers are called {label}", "rename one"
            )
        self.found.cells.append(cell)
        data = spec_of(self.spec, chosen)
        data.setdefault("evaluation", {})
        # What all runs share may ask for a teacher: the teacher itself has none.
        for name in ("teacher", "distillation"):
            if name not in chosen:
                data[name] = None
        if not any(key.partition(".")[0] == "masking" for key in chosen):
            data["masking"] = {"preset": "random"}
        if not any(key.partition(".")[0] == "evaluation" for key in chosen):
            # Its scores are no part of the question.
            data["evaluation"] = {}
        run = self._made(cell, int(data.get("seed") or 0), data)
        self.names[label] = run.id

    def _add(self, cell: Cell, seed: int) -> None:
        run = self._made(cell, seed, self._data(cell, seed))
        self.of_seed[cell.label, seed] = run.id

    def _made(self, cell: Cell, seed: int, data: dict[str, Any]) -> PlannedRun:
        data["seed"] = seed
        data["name"] = f"{cell.label} seed {seed}"
        checked, waits_for = self._checked(cell, data)
        id_, reused = self.known.get((cell.key, seed)), True
        if id_ is None:
            id_ = self.find_finished(checked.group_hash, seed)
        if id_ is None:
            id_, reused = self.new_id(), False
        self.planned[id_] = "succeeded" if reused else "queued"
        self.specs[id_] = checked
        run = PlannedRun(cell.key, seed, id_, checked, waits_for, reused)
        self.found.runs.append(run)
        return run

    def _checked(self, cell: Cell, data: dict[str, Any]) -> tuple[RunSpec, str | None]:
        try:
            return self.check(data, self.planned)
        except SpecError as error:
            where = {"teacher": "teachers", "control": "controls"}.get(cell.role, "methods")
            raise SpecError(
                f"{cell.label}: {error.message.removeprefix('spec: ')}",
                error.hint or HINT,
                [Problem((where, cell.label, *p.location), p.sentence) for p in error.problems],
            ) from None
        except InputError as error:
            raise SpecError.at((), f"{cell.label}: {error.message}", error.hint or HINT) from None

    def _data(self, cell: Cell, seed: int) -> dict[str, Any]:
        """The data of a cell's spec, with the runs that it names by their ids."""
        data = spec_of(self.spec, cell.settings)
        named = _named_run(data)
        if named is None:
            return data
        id_ = self.names.get(named) or self.of_seed.get((named, seed))
        if id_ is None:
            return data  # a run of the service, or none: for the check to say
        data["teacher"] = {**data["teacher"], "run": id_}
        if data.get("tokenizer") is None:
            data["tokenizer"] = self._tokenizer_of(id_, data)
        if "teacher" not in cell.settings and not _uses_teacher(data):
            data["teacher"] = None  # it stands in the base, for others
        return data

    def _tokenizer_of(self, id_: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """That of a teacher to come: made alike where it is trained on the same text."""
        teacher = self.specs[id_]
        assert teacher.tokenizer is not None, "a resolved spec has a tokenizer"
        own = RunSpec.parse({"corpus": data["corpus"]}).corpus if "corpus" in data else None
        same_text = own is not None and own == teacher.corpus
        if not isinstance(teacher.tokenizer, TrainedTokenizer) or same_text:
            return teacher.tokenizer.model_dump(mode="json")
        place = settings().runs / id_ / "model"
        return LocalTokenizer(source="local", path=str(place)).model_dump(mode="json")

    def _by_need(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells in their order, but whose runs teach others before those."""
        labels = {cell.label: cell for cell in cells}
        done: list[Cell] = []
        under_way: list[str] = []

        def visit(cell: Cell) -> None:
            if cell in done:
                return
            if cell.label in under_way:
                ring = " -> ".join([*under_way, cell.label])
                raise SpecError.at(
                    ("methods", cell.label), f"the methods teach each other: {ring}", HINT
                )
            under_way.append(cell.label)
            needed = _named_run(spec_of(self.spec, cell.settings))
            if needed in labels and needed not in self.names:
                visit(labels[str(needed)])
            under_way.pop()
            done.append(cell)

        for cell in cells:
            visit(cell)
        return done

    def _resolve(self, cell: Cell, seed: int) -> RunSpec:
        """A cell's spec with one seed, for its costs and its hash; the run is made later."""
        spec, _ = self._checked(cell, {**self._data(cell, seed), "seed": seed, "name": cell.label})
        id_ = f"run_of_{cell.key}"
        self.of_seed[cell.label, seed] = id_
        self.planned[id_], self.specs[id_] = "queued", spec
        return spec

    def _forget(self, cells: Sequence[Cell], seed: int) -> None:
        for cell in cells:
            id_ = self.of_seed.pop((cell.label, seed))
            del self.planned[id_], self.specs[id_]

    def _refuse_names_twice(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            if cell.label in self.names:
                raise SpecError.at(
                    ("methods", cell.label),
                    f"a teacher and a method are both called {cell.label}",
                    "rename one: a spec that names it would mean either",
                )

    def _refuse_twins(self, cells: Sequence[Cell], specs: Mapping[str, RunSpec]) -> None:
        seen: dict[str, Cell] = {}
        for cell in cells:
            twin = seen.setdefault(specs[cell.key].group_hash, cell)
            if twin is not cell:
                raise SpecError.at(
                    ("methods", cell.label),
                    f"{twin.label} and {cell.label} are the same method: their specs do not differ",
                    "change or remove one of them",
                )

    def _with_controls(self, methods: Sequence[Cell], specs: Mapping[str, RunSpec]) -> list[Cell]:
        """The baselines, their controls, then the methods, each with its match in compute."""
        baselines = [cell for cell in methods if cell.role == "baseline"]
        others = [cell for cell in methods if cell.role != "baseline"]
        axes = axes_of(self.spec)
        # Named after their baselines where there is, or may come, more than one.
        several = len(baseline_of(self.spec, axes)) < len(axes)
        asked = self.spec.controls
        made: list[Cell] = []
        matched: dict[str, str] = {}
        there = {spec.group_hash: key for key, spec in specs.items()}
        for baseline in baselines:
            spec = specs[baseline.key]
            if asked.no_pretraining and spec.evaluation.tasks:
                made.append(controls.no_pretraining(baseline, several))
            if asked.frequency:
                control = controls.frequency(baseline, spec, several)
                if self._control_spec(control).group_hash not in there:
                    made.append(control)
            if not asked.equal_compute:
                continue
            compared = [cell for cell in [*others, *made] if cell.baseline == baseline.key]
            kept = self._kept_matches(compared)
            matched |= kept
            made += [self.settled[key] for key in dict.fromkeys(kept.values()) if key not in specs]
            compared = [cell for cell in compared if cell.key not in self.settled]
            ratios = dict(self._ratios(baseline, compared, specs))
            for ratio, keys in controls.levels(ratios):
                more = controls.equal_compute(baseline, spec, ratio, several)
                if more is None:
                    continue
                twin = there.get(self._control_spec(more).group_hash)
                if twin is None and all(more.key != cell.key for cell in made):
                    made.append(more)
                matched |= dict.fromkeys(keys, twin or more.key)
                self._note_vocabulary(spec)
        cells = [*baselines, *made, *others]
        return [replace(cell, matched=matched.get(cell.key)) for cell in cells]

    def _note_vocabulary(self, spec: RunSpec) -> None:
        tokenizer = spec.tokenizer
        if not isinstance(tokenizer, TrainedTokenizer) or self.vocabulary(spec) is not None:
            return
        note = (
            f"the budgets of the controls at equal compute count with {tokenizer.vocab_size:,} "
            "types, as asked for: no finished run has shown yet how many the tokenizer of this "
            "corpus has; where it has fewer, the report says how far they are from equal"
        )
        if note not in self.found.notes:
            self.found.notes.append(note)

    def _kept_matches(self, cells: Sequence[Cell]) -> dict[str, str]:
        """By the key of a method that was planned before: that of its control."""
        matches = {
            cell.key: self.settled[cell.key].matched for cell in cells if cell.key in self.settled
        }
        return {key: match for key, match in matches.items() if match and match in self.settled}

    def _control_spec(self, cell: Cell) -> RunSpec:
        return self._checked(cell, self._data(cell, self.spec.seeds[0]))[0]

    def _ratios(
        self, baseline: Cell, cells: Sequence[Cell], specs: Mapping[str, RunSpec]
    ) -> Iterator[tuple[str, float]]:
        unknown = []
        for cell in cells:
            if cell.role == "control":
                continue
            spec = specs[cell.key]
            named = spec.teacher.run if spec.teacher is not None else None
            teacher = self.specs.get(str(named))
            ratio = controls.relative_compute(spec, specs[baseline.key], teacher, self.vocabulary)
            if ratio is None:
                unknown.append(cell.label)
            else:
                yield cell.key, ratio
        if unknown:
            self.found.notes.append(
                f"no control at equal compute for {', '.join(unknown)}: what it will cost is "
                "not known before it has run (a shape or a vocabulary that no spec names, or a "
                "budget of another kind than the baseline's)"
            )

    def _sort(self) -> None:
        """Teachers, baselines, controls, methods; in each, seed by seed; whoever teaches first."""
        ranks = {"teacher": 0, "baseline": 1, "control": 2, "method": 3}
        roles = {cell.key: cell.role for cell in self.found.cells}
        self.found.runs.sort(key=lambda run: ranks[roles[run.cell]])


def _uses_teacher(data: Mapping[str, Any]) -> bool:
    try:
        spec = RunSpec.parse(data)
        return uses_teacher(spec.model_copy(update={"masking": spec.masking.resolved()}))
    except InputError:
        return True  # for the check to say what is wrong


def _named_run(data: Mapping[str, Any]) -> str | None:
    teacher = data.get("teacher")
    run = teacher.get("run") if isinstance(teacher, Mapping) else None
    return run if isinstance(run, str) else None
