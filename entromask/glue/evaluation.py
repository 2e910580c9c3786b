"""Evaluates a model folder: every (task, fine-tuning seed) is a file as soon as it exists."""

from __future__ import annotations

import logging
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.glue.cells import (
    Result,
    cell_file,
    model_fingerprint,
    read_cell,
    setup_fingerprint,
    write_cell,
)
from entromask.glue.data import TaskData, check_tasks, load_for
from entromask.glue.metrics import score_predictions, task_score
from entromask.glue.plan import groups
from entromask.glue.tasks import FROM_MNLI, GLUE8, GLUE9, TASKS
from entromask.presets import PROTOCOLS
from entromask.spec import Evaluation
from entromask.text.sequences import READING_KEYS, Reading, reading_warnings

if TYPE_CHECKING:
    from entromask.glue.trainings import Trainings

__all__ = ["averages", "check_tasks", "evaluate", "groups", "majority_floor"]

OnProgress = Callable[[int, int], None]
OnResult = Callable[[str, int | None, Result], None]

_CHANCE = 0.5
_UNSCORED = "{name} has no score: its rows have no labels (all are -1), and are only predicted"


def evaluate(
    model_dir: Path,
    evaluation: Evaluation,
    folder: Path,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
    on_result: OnResult | None = None,
    on_message: Callable[[str], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Computes what is missing in `folder` and returns the `tasks` table of results.json.

    Args:
        model_dir: a Hugging Face folder with a masked language model and its tokenizer.
        folder: one JSON file per (task, seed); results of an earlier call are taken over when
            they are whole and of the same model, data and protocol.
        on_progress: called with (hundredths of a result done, 100 x results).
        on_result: called with (task, seed or None, result) for each new result.
        on_message: told of files that cannot be used; default: a warning in the log.

    Returns:
        By task: `score` with `sd` and `per_seed`; `metrics`, each with mean, sd and per_seed;
        `rows`; `majority_floor`; `collapsed`, the number of seeds at or under that floor. Of
        BLiMP also `phenomena`, `paradigms`, `pairs` (used, of), `ties`, `truncated`. Of the
        training and evaluation rows, the shares of `Reading.data`: what is cut, what is unknown
        to the tokenizer (cells of earlier versions lack them). What the
        protocol chose: `selection` of the learning rate, the same for all seeds; `stopping` by
        seed, where the training ends early. `intermediate`, the task that the fine-tuning starts
        from; `train_rows` (used, of); `replaced_characters`, where texts were not Unicode. Of a
        fine-tuning also `training` (`learning_rate`, `batch_size`, `epochs`; by seed `steps` and
        `converged`) and `converged`, whether the training of every seed had. A task whose rows
        have no labels (AX) is not in the table; the predictions of test splits are in its files.

    Raises:
        InputError: the model folder or the data cannot be used; nothing is written then.
        DiskFullError: there is no room for a result.
    """
    from entromask.glue.fine_tuning import open_model_folder

    open_model_folder(model_dir)
    check_tasks(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    work = _Work(
        model_dir,
        model_fingerprint(model_dir),
        evaluation,
        folder,
        device,
        on_progress or (lambda done, total: None),
        on_result or (lambda task, seed, result: None),
        on_message or logging.getLogger(__name__).warning,
    )
    tables: dict[str, dict[str, Any]] = {}
    for names in groups(evaluation):
        tables |= work.group([load_for(evaluation, name) for name in names])
    return {name: tables[name] for name in evaluation.tasks if name in tables}


@dataclass
class _Work:
    """One evaluation under way."""

    model_dir: Path
    model: str
    evaluation: Evaluation
    folder: Path
    device: str
    on_progress: OnProgress
    on_result: OnResult
    on_message: Callable[[str], None]
    done: int = 0
    warned: set[str] = field(default_factory=set)

    def group(self, datas: list[TaskData]) -> dict[str, dict[str, Any]]:
        """All seeds of the tasks that share one fine-tuning."""
        zero_shot = datas[0].task.kind == "minimal-pairs"
        seeds: list[int | None] = [None] if zero_shot else [*self.evaluation.seeds]
        found: dict[str, dict[int | None, Result]] = {data.task.name: {} for data in datas}
        missing: dict[int | None, list[TaskData]] = {}
        for seed in seeds:
            for data in datas:
                result = self._read(data, seed)
                if result is None:
                    missing.setdefault(seed, []).append(data)
                else:
                    found[data.task.name][seed] = result
        self._advance(sum(len(results) for results in found.values()))
        compute = self._pairs if zero_shot else self._fine_tune
        for data, seed, result in compute(missing):
            write_cell(self._file(data, seed), self._setup(data), result)
            found[data.task.name][seed] = result
            self._advance(1)
            self.on_result(data.task.name, seed, result)
        return {
            data.task.name: _entry(data, {seed: found[data.task.name][seed] for seed in seeds})
            for data in datas
            if data.scored
        }

    def _fine_tune(
        self, missing: Mapping[int | None, list[TaskData]]
    ) -> Iterator[tuple[TaskData, int | None, Result]]:
        if not missing:
            return
        from entromask.glue.fine_tuning import kept_predictions, predict, score_classifier
        from entromask.glue.trainings import Trainings

        wanted = {data.task.name: data for datas in missing.values() for data in datas}
        for data in wanted.values():
            if not data.scored:
                self.on_message(_UNSCORED.format(name=data.task.name))
        trainings = Trainings(
            self.model_dir,
            self.model,
            self.evaluation,
            self.folder,
            self.device,
            wanted.values(),
            self._within,
            self.on_message,
        )
        # All tasks of a group have the same training rows.
        one = next(iter(wanted.values()))
        for seed, datas in missing.items():
            tuned = trainings.classifier(one, int(seed or 0))
            for data in datas:
                result: Result = {"rows": data.rows}
                if data.scored:
                    encoded = {
                        split: trainings.encoded(data, split) for split in data.task.evaluation
                    }
                    result = score_classifier(tuned.model, data, encoded, tuned.scale)
                if data.test:
                    result["test_predictions"] = {
                        split: kept_predictions(
                            data.task,
                            predict(tuned.model, trainings.encoded(data, split)),
                            tuned.scale,
                        )
                        for split in data.test
                    }
                if data.scored:
                    result |= self._reading(trainings, data)
                yield data, seed, {**result, **tuned.record}

    def _reading(self, trainings: Trainings, data: TaskData) -> Result:
        """Return what of a task's rows is cut or not read, and tell of it if it is much."""
        reading = Reading()
        for split in ("train", *data.task.evaluation):
            rows = trainings.encoded(data, split).reading if split in data.splits else None
            if rows is not None:
                reading.merge(rows)
        found = reading.data()
        self._warn(data, found)
        return found

    def _warn(self, data: TaskData, result: Result) -> None:
        """Tell once of a task whose texts are not read whole."""
        if data.task.name not in self.warned:
            self.warned.add(data.task.name)
            for warning in reading_warnings(data.task.name, result):
                self.on_message(warning)

    def _pairs(
        self, missing: Mapping[int | None, list[TaskData]]
    ) -> Iterator[tuple[TaskData, int | None, Result]]:
        for seed, datas in missing.items():
            for data in datas:
                yield data, seed, self._score_pairs(data)

    def _score_pairs(self, data: TaskData) -> Result:
        from entromask.glue.blimp import score_blimp, subsample
        from entromask.glue.fine_tuning import quiet_transformers
        from entromask.modeling.references import load_masked_lm
        from entromask.spec import ModelReference
        from entromask.text.tokenizer import load_tokenizer

        (split,) = data.task.evaluation
        pairs = subsample(data.splits[split], self.evaluation.blimp_pairs)
        with quiet_transformers():
            model = load_masked_lm(ModelReference(path=str(self.model_dir))).to(self.device)
        scored = score_blimp(model, load_tokenizer(str(self.model_dir)), pairs, self._within)
        self._warn(data, scored)
        accuracy = scored.pop("accuracy")
        used = len(pairs["UID"])
        return {
            "metrics": {"accuracy": accuracy},
            "score": accuracy,
            "rows": used,
            "pairs": {"used": used, "of": data.rows},
            **scored,
        }

    def _read(self, data: TaskData, seed: int | None) -> Result | None:
        result, problem = read_cell(self._file(data, seed), self._setup(data))
        if problem is not None:
            self.on_message(problem)
        return result

    def _file(self, data: TaskData, seed: int | None) -> Path:
        return cell_file(self.folder, data.task.name, seed)

    def _setup(self, data: TaskData) -> str:
        options = PROTOCOLS[self.evaluation.protocol].data()
        if data.task.labels == 0:
            # Older results were trained on labels in the user's unit.
            options["targets"] = "standardized"
        if data.task.kind == "minimal-pairs":
            options = {"pairs": self.evaluation.blimp_pairs}
        if self.evaluation.intermediate is not None and data.task.name in FROM_MNLI:
            options["intermediate"] = self._start
        if data.test:
            options["test"] = data.test_fingerprint
        return setup_fingerprint(self.model, data.fingerprint, options)

    @cached_property
    def _start(self) -> str:
        """The fingerprint of the rows that the model of MNLI is fine-tuned on."""
        return load_for(self.evaluation, str(self.evaluation.intermediate)).fingerprint

    @property
    def _total(self) -> int:
        zero_shot = sum(
            self.evaluation.task(name).kind == "minimal-pairs" for name in self.evaluation.tasks
        )
        tuned = len(self.evaluation.tasks) - zero_shot
        return 100 * (zero_shot + tuned * len(self.evaluation.seeds))

    def _advance(self, results: int) -> None:
        self.done += 100 * results
        self.on_progress(self.done, self._total)

    def _within(self, done: int, total: int) -> None:
        # Only whole hundredths: a step of a small model takes a few milliseconds.
        if 100 * done // total > 100 * (done - 1) // total and done < total:
            self.on_progress(self.done + 100 * done // total, self._total)


def _entry(data: TaskData, results: Mapping[int | None, Result]) -> dict[str, Any]:
    """A task's entry in the table, from the results of its seeds."""
    floor = majority_floor(data)
    first = next(iter(results.values()))
    scores = {seed: result["score"] for seed, result in results.items()}
    overall = _spread(scores)
    metrics = {
        name: _spread({seed: result["metrics"][name] for seed, result in results.items()})
        for name in first["metrics"]
    }
    of_pairs = ("phenomena", "paradigms", "pairs", "ties", "truncated")
    more = (*of_pairs, "selection", "intermediate", *READING_KEYS)
    replaced = data.notes.replaced_characters
    stopping = {str(seed): r["stopping"] for seed, r in results.items() if "stopping" in r}
    trainings = {str(seed): r["training"] for seed, r in results.items() if "training" in r}
    return {
        "score": overall["mean"],
        "sd": overall["sd"],
        "per_seed": overall["per_seed"],
        "metrics": metrics,
        "rows": first["rows"],
        "majority_floor": floor,
        "collapsed": sum(score <= floor + 1e-12 for score in scores.values()),
        **{name: first[name] for name in more if name in first},
        **({"stopping": stopping} if stopping else {}),
        **(_training(trainings) if trainings else {}),
        "train_rows": data.train_rows,
        **({"replaced_characters": replaced} if replaced else {}),
    }


def _training(by_seed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fine-tuning's settings and, by seed, the steps and whether it had converged."""
    first = next(iter(by_seed.values()))
    settings = {name: first[name] for name in ("learning_rate", "batch_size", "epochs")}
    return {
        "training": {
            **settings,
            "steps": {seed: training["steps"] for seed, training in by_seed.items()},
            "converged": {seed: training["converged"] for seed, training in by_seed.items()},
        },
        "converged": all(training["converged"] for training in by_seed.values()),
    }


def _spread(values: Mapping[int | None, float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1; 0.0 of one value) and the values by seed."""
    numbers = list(values.values())
    return {
        "mean": statistics.fmean(numbers),
        "sd": statistics.stdev(numbers) if len(numbers) > 1 else 0.0,
        "per_seed": {str(seed): value for seed, value in values.items() if seed is not None},
    }


def majority_floor(data: TaskData) -> float:
    """The score of always predicting the evaluation split's most frequent class.

    Matthews correlation and the correlations of a regression are 0 then; of minimal pairs it is
    the accuracy of a coin.
    """
    task = data.task
    if task.kind == "minimal-pairs":
        return _CHANCE
    scores = []
    for split in task.evaluation:
        references = data.references(split)
        [(most, _)] = Counter(references).most_common(1)
        scores.append(task_score(score_predictions(task, [most] * len(references), references)))
    return statistics.fmean(scores)


def averages(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The GLUE means of a `tasks` table; a mean over missing tasks is null.

    `available` names the GLUE tasks that there are, and their mean; `demo` the demo tasks and
    `user`, where there are any, those of the user, which no GLUE mean counts. BLiMP and AX belong
    to none.
    """

    def mean(names: tuple[str, ...]) -> dict[str, Any]:
        there = [name for name in names if name in tasks]
        value = statistics.fmean(tasks[name]["score"] for name in there) if there else None
        return {"tasks": there, "value": value}

    demo = tuple(name for name, task in TASKS.items() if task.kind == "demo")
    complete = {
        key: mean(names)["value"] if all(name in tasks for name in names) else None
        for key, names in (("glue8", GLUE8), ("glue9", GLUE9))
    }
    own = tuple(name for name in tasks if name not in TASKS)
    of_user = {"user": mean(own)} if own else {}
    return {**complete, "available": mean(GLUE9), "demo": mean(demo), **of_user}
