"""The model card of a run's model: what it is, how it was made, what it scores, what it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from statistics import stdev
from typing import Any

import yaml

from entromask.analysis.tokenizer_words import vocabulary_words
from entromask.glue.tasks import Task
from entromask.presets import MASKING_PRESETS, PROTOCOLS, SIZES
from entromask.spec import (
    BuiltinCorpus,
    HubCorpus,
    LocalCorpus,
    Masking,
    ModelReference,
    RunSpec,
    TrainedTokenizer,
    UploadCorpus,
)

ENOUGH_TOKENS = 1e9
# Where a task's data stand on the Hub, by kind.
_DATA_SETS = {
    "glue": "nyu-mll/glue",
    "diagnostic": "nyu-mll/glue",
    "minimal-pairs": "nyu-mll/blimp",
}
# The Hub's names of metrics, where they are others.
_METRICS = {"f1_macro": "f1"}
_LOSSES = {
    "loss": "on random masks",
    "loss_bias_refit": "the same, after the output bias was refitted",
    "loss_frequent": "on frequent types",
    "loss_rest": "on all other types",
    "unigram_loss": "of word frequencies alone",
}


@dataclass(frozen=True)
class Interval:
    """The 95 % interval of a method's mean score over `n` pretraining seeds."""

    low: float
    high: float
    n: int


def model_card(
    spec: RunSpec,
    results: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    intervals: Mapping[str, Interval] | None = None,
    notes: tuple[str, ...] = (),
) -> str:
    """Markdown with the Hub's metadata.

    Args:
        spec: resolved.
        results: the content of results.json; None while the run has none.
        environment: that of environment.json.
        intervals: by task, from an experiment that the run is part of.
        notes: sentences that stand below the spec.
    """
    results, environment = results or {}, environment or {}
    parts = [
        f"---\n{_yaml(_metadata(spec, results))}---\n",
        f"# {spec.name}\n",
        _summary(spec, environment),
        _LOADING,
        *_scores(spec, results, intervals or {}),
        *_losses(results),
        "## Data\n",
        *_bullets(_data(spec, environment, results)),
        "## Method\n",
        *_bullets(_method(spec)),
        *_section("Warnings", results.get("warnings") or ()),
        *_section("Limits", _limits(spec, results, environment)),
        "## How it was made\n",
        *_bullets(_origin(results, environment)),
        f"```yaml\n{spec.to_yaml().strip()}\n```\n",
        *(f"{note}\n" for note in notes),
    ]
    return "\n".join(parts)


_LOADING = """## Use

```python
from transformers import AutoModelForMaskedLM, AutoTokenizer

model = AutoModelForMaskedLM.from_pretrained(".")  # this folder, or its name on the Hub
tokenizer = AutoTokenizer.from_pretrained(".")
```

The weights are safetensors, and no code of this repository is run.
As a teacher in Entromask: `teacher: {path: DIR}` or `teacher: {hub: NAME}`.
"""


def _metadata(spec: RunSpec, results: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["entromask", "masked-lm", _strategy(spec.masking)],
    }
    if isinstance(spec.corpus, BuiltinCorpus):
        data["language"] = "en"
    if isinstance(spec.corpus, HubCorpus):
        data["datasets"] = [spec.corpus.name]
    if isinstance(spec.model.init, ModelReference) and spec.model.init.hub:
        data["base_model"] = spec.model.init.hub
    if measured := list(_indexed(spec, results)):
        data["model-index"] = [{"name": spec.name, "results": measured}]
    return data


def _indexed(spec: RunSpec, results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The scores as the Hub's model-index wants them."""
    for name, found in (results.get("tasks") or {}).items():
        task = spec.evaluation.task(name)
        data_set: dict[str, Any] = {
            "name": _task_name(task),
            "type": _DATA_SETS.get(task.kind, f"entromask-{task.kind}"),
            "split": task.evaluation[0],
        }
        if task.kind in ("glue", "diagnostic"):
            data_set["config"] = name
        kind = "fill-mask" if task.kind == "minimal-pairs" else "text-classification"
        yield {
            "task": {"type": kind},
            "dataset": data_set,
            "metrics": [
                {"type": _METRICS.get(metric, metric), "value": round(value["mean"], 4)}
                for metric, value in (found.get("metrics") or {}).items()
            ],
        }


def _task_name(task: Task) -> str:
    if task.kind in ("glue", "diagnostic"):
        return f"GLUE {task.name}"
    if task.kind == "minimal-pairs":
        return "BLiMP"
    if task.kind == "demo":
        return f"{task.name} (not GLUE)"
    return task.name


def _summary(spec: RunSpec, environment: Mapping[str, Any]) -> str:
    words = [spec.model.architecture or "continued", "encoder"]
    if spec.model.size:
        size = SIZES[spec.model.size]
        words.append(f"of {size.layers} layers of width {size.width}")
    if parameters := environment.get("parameters"):
        words.append(f"({parameters / 1e6:,.1f} M parameters)")
    made = f"pretrained with **{_strategy(spec.masking)}** masking"
    if spec.pretraining.budget.steps == 0:
        made = "never trained: a control without pretraining"
    return (
        f"A masked language model: {_article(' '.join(words))}, {made}, seed {spec.seed}. It is "
        "not fine-tuned for any task.\n"
    )


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _strategy(masking: Masking) -> str:
    return masking.preset or f"{masking.score}-{masking.select}"


def _scores(
    spec: RunSpec, results: Mapping[str, Any], intervals: Mapping[str, Interval]
) -> list[str]:
    tasks = results.get("tasks") or {}
    if not tasks:
        return []
    head = ["task", "score", "fine-tuning seeds", "majority class", "without pretraining"]
    if intervals:
        head.insert(2, "95 % interval of the method")
    rows = []
    for name, found in tasks.items():
        seeds = _per_seed(found)
        score = _percent(found.get("score"))
        if len(seeds) > 1:
            score += f" ± {_percent(stdev(seeds))}"
        cells = [
            _task_name(spec.evaluation.task(name)),
            score,
            str(len(seeds)) if seeds else "none needed",
            _percent(found.get("majority_floor")),
            _percent(found.get("untrained_floor")),
        ]
        if intervals:
            one = intervals.get(name)
            cells.insert(
                2,
                f"{_percent(one.low)} to {_percent(one.high)} (n = {one.n})" if one else "-",
            )
        rows.append(cells)
    words = [
        f"Scores x 100 on the development data, by the protocol `{spec.evaluation.protocol}` "
        f"({PROTOCOLS[spec.evaluation.protocol].description.rstrip('.')}). A score is the mean of "
        f"the task's metrics ({'; '.join(_metric_words(spec, tasks))}); ± is the standard "
        "deviation over the fine-tuning seeds."
    ]
    if intervals:
        words.append(
            "The interval is that of the method's mean over its n pretraining seeds, one of which "
            "is this model's."
        )
    words += _averages(results)
    words += _phenomena(tasks)
    table = [_row(head), "|---" * len(head) + "|", *map(_row, rows)]
    return ["## Scores\n", "\n".join(table) + "\n", "\n".join(words) + "\n"]


def _metric_words(spec: RunSpec, tasks: Mapping[str, Any]) -> Iterator[str]:
    by_metrics: dict[tuple[str, ...], list[str]] = {}
    for name in tasks:
        by_metrics.setdefault(spec.evaluation.task(name).metrics, []).append(name)
    for metrics, names in by_metrics.items():
        yield f"{', '.join(names)}: {' and '.join(metrics)}"


def _per_seed(found: Mapping[str, Any]) -> list[float]:
    """A task's score by fine-tuning seed; none of a zero-shot task."""
    metrics = [metric.get("per_seed") or {} for metric in (found.get("metrics") or {}).values()]
    if not metrics:
        return []
    return [sum(one[seed] for one in metrics) / len(metrics) for seed in metrics[0]]


def _averages(results: Mapping[str, Any]) -> Iterator[str]:
    averages = results.get("averages") or {}
    for name, words in (("glue8", "GLUE without WNLI"), ("glue9", "GLUE")):
        if averages.get(name) is not None:
            yield f"Mean of {words}: {_percent(averages[name])}."
    available = averages.get("available") or {}
    if available.get("value") is not None and averages.get("glue8") is None:
        yield (
            f"Mean of {', '.join(available['tasks'])}: {_percent(available['value'])}; it compares "
            "only with a mean of the very same tasks."
        )


def _phenomena(tasks: Mapping[str, Any]) -> Iterator[str]:
    found = (tasks.get("blimp") or {}).get("phenomena") or {}
    if found:
        listed = ", ".join(f"{name.replace('_', ' ')} {_percent(x)}" for name, x in found.items())
        yield f"BLiMP by phenomenon: {listed}."


def _losses(results: Mapping[str, Any]) -> list[str]:
    validation = results.get("validation") or {}
    rows = [
        _row([words, f"{validation[name]:.3f}"])
        for name, words in _LOSSES.items()
        if validation.get(name) is not None
    ]
    if not rows:
        return []
    table = ["| held-out loss | nats |", "|---|---|", *rows]
    return ["\n".join(table) + "\n"]


def _data(
    spec: RunSpec, environment: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[str]:
    corpus = spec.corpus
    if isinstance(corpus, BuiltinCorpus):
        yield "Corpus: the English documentation that ships with Python"
    elif isinstance(corpus, HubCorpus):
        which = f", configuration `{corpus.config}`" if corpus.config else ""
        yield f"Corpus: `{corpus.name}` on the Hugging Face Hub{which}, split `{corpus.split}`"
    elif isinstance(corpus, UploadCorpus):
        yield f"Corpus: an uploaded text, `{corpus.id}`"
    elif isinstance(corpus, LocalCorpus):
        yield f"Corpus: a local text, `{PurePath(corpus.path).name}`"
    if corpus.max_tokens:
        yield f"Limited to {corpus.max_tokens:,} training tokens"
    rows = environment.get("rows") or {}
    if rows.get("train"):
        length = spec.pretraining.sequence_length
        held_out = rows.get("validation")
        yield f"{rows['train']:,} rows of {length} tokens to train on" + (
            "" if held_out is None else f", {held_out:,} held out"
        )
    if seen := (results.get("cost") or {}).get("tokens"):
        yield f"{seen:,} tokens seen in training"
    if fingerprint := (environment.get("corpus") or {}).get("fingerprint"):
        yield f"Fingerprint of the text: `{fingerprint}`"
    tokenizer = spec.tokenizer
    if tokenizer is None or isinstance(tokenizer, TrainedTokenizer):
        words = vocabulary_words(tokenizer or TrainedTokenizer(), results, environment)
        yield f"Tokenizer: {words} trained on the corpus"
        if tokenizer is None or tokenizer.strip_accents is False:
            yield "`bert-base-uncased`, by contrast, removes accents and combining marks"
    else:
        yield "Tokenizer: taken over, see the spec"


def _method(spec: RunSpec) -> Iterator[str]:
    masking = spec.masking
    if masking.preset:
        yield f"Masking `{masking.preset}`: {MASKING_PRESETS[masking.preset].description}"
    yield f"In parts: {', '.join(_masking_parts(masking))}"
    if spec.teacher is not None:
        yield f"Teacher: {_reference(spec.teacher)}"
    if (distillation := spec.distillation) is not None:
        yield (
            f"Distillation from the teacher: weight {distillation.weight:g}, temperature "
            f"{distillation.temperature:g}, at {distillation.positions} positions"
        )
    init = spec.model.init
    yield "Weights at the start: " + (
        _reference(init)
        if isinstance(init, ModelReference)
        else {"scratch": "random"}.get(init, init)
    )
    training = spec.pretraining
    given = training.budget.model_dump(exclude_none=True)
    budget = ", ".join(f"{value:,} {name}" for name, value in given.items())
    yield (
        f"AdamW, {budget}, batches of {training.batch_size} rows of {training.sequence_length} "
        f"tokens, learning rate {training.learning_rate:g} after a warm-up of "
        f"{training.warmup:.0%}, weight decay {training.weight_decay:g}"
    )


def _masking_parts(masking: Masking) -> Iterator[str]:
    for name, value in masking.model_dump(mode="json").items():
        if name == "preset" or value is None:
            continue
        if isinstance(value, list):
            value = ", ".join(f"`{item}`" for item in value)
        if isinstance(value, dict):
            value = ", ".join(f"{key} {part}" for key, part in value.items())
            value = f"({value})"
        yield f"{name.replace('_', ' ')} {value}"


def _reference(reference: ModelReference) -> str:
    if reference.hub:
        return f"`{reference.hub}` on the Hugging Face Hub"
    place = reference.run or reference.path or ""
    what = "run" if reference.run else "folder"
    at = "" if reference.checkpoint is None else f", at step {reference.checkpoint}"
    return f"the model of the {what} `{PurePath(place).name}`{at}"


def _limits(
    spec: RunSpec, results: Mapping[str, Any], environment: Mapping[str, Any]
) -> Iterator[str]:
    yield (
        f"One pretraining seed ({spec.seed}): another seed gives another model, and other scores."
    )
    tokens = (results.get("cost") or {}).get("tokens")
    if tokens is not None and tokens < ENOUGH_TOKENS:
        yield (
            f"A small model's short training ({tokens:,} tokens): made to compare ways of masking, "
            "not for use in a product."
        )
    yield (
        "It knows its corpus alone, with whatever is wrong, one-sided or private in it; nothing "
        "was filtered out."
    )
    collapsed = (results.get("diagnostics") or {}).get("collapsed_tasks") or []
    if collapsed:
        yield (f"At or under the majority class, and so without meaning: {', '.join(collapsed)}.")
    blind = [
        name
        for name, found in (results.get("tasks") or {}).items()
        if name not in collapsed
        and found.get("untrained_floor") is not None
        and found.get("score") is not None
        and found["score"] <= found["untrained_floor"]
    ]
    if blind:
        yield f"No better than the same model without pretraining: {', '.join(blind)}."
    pairs = ((results.get("tasks") or {}).get("blimp") or {}).get("pairs") or {}
    if pairs and pairs["used"] < pairs["of"]:
        yield f"BLiMP is measured on {pairs['used']:,} of its {pairs['of']:,} pairs."
    if results.get("tasks"):
        yield "Scores are of development data, which many choices in the field were made on."


def _origin(results: Mapping[str, Any], environment: Mapping[str, Any]) -> Iterator[str]:
    versions = environment.get("versions") or {}
    if "entromask" in versions:
        commit = environment.get("commit")
        yield f"Entromask {versions['entromask']}" + (f", commit `{commit}`" if commit else "")
        others = ("torch", "transformers", "tokenizers")
        yield ", ".join(f"{name} {versions[name]}" for name in others if name in versions)
    cost = results.get("cost") or {}
    if cost.get("flops"):
        scoring = ""
        if cost.get("scoring_flops"):
            scoring = (
                f", and {cost['scoring_flops']:.2e} FLOPs, {cost['scoring_seconds']:,.0f} s of "
                "teacher scoring"
            )
        yield f"{cost['flops']:.2e} FLOPs, {cost['seconds']:,.0f} s of training{scoring}"
    if results.get("spec_hash"):
        yield f"Spec `{results['spec_hash']}`, method `{results['group_hash']}`"


def _section(title: str, sentences: Any) -> list[str]:
    listed = list(sentences)
    return [f"## {title}\n", *_bullets(listed)] if listed else []


def _bullets(sentences: Any) -> list[str]:
    return ["\n".join(f"- {sentence}" for sentence in sentences) + "\n"]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
