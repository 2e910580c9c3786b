"""The methods paragraph of a paper, from what the runs recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from entromask.analysis.cells import CellRuns
from entromask.analysis.report.masking_words import USUAL_RATE, method_words, percent
from entromask.analysis.runs import Run
from entromask.analysis.table import entry
from entromask.analysis.tokenizer_words import vocabulary_words
from entromask.analysis.wording import compact, counted, joined, task_title
from entromask.glue.tasks import FROM_MNLI, TASKS
from entromask.presets import PROTOCOLS, SIZES, Protocol
from entromask.spec import ModelReference, Pretraining, TrainedTokenizer

_ARCHITECTURES = {
    **{"bert": "BERT", "distilbert": "DistilBERT", "roberta": "RoBERTa"},
    **{"electra": "ELECTRA", "modernbert": "ModernBERT"},
}
_METRICS = {
    "matthews_correlation": "Matthews correlation",
    "accuracy": "accuracy",
    "f1": "F1",
    "f1_macro": "macro-averaged F1",
    "pearson": "Pearson correlation",
    "spearmanr": "Spearman correlation",
}
_SHORT_HASH = 12


def methods_paragraph(cells: Sequence[CellRuns], level: float, tests: int) -> str:
    """Plain English sentences; of runs that have not finished nothing is said but their number.

    Args:
        level: of the intervals.
        tests: in the family that p values were corrected over.
    """
    compared = [cell for cell in cells if cell.role != "teacher"]
    runs = [run for cell in compared for _, run in cell.finished]
    if not runs:
        return "No run has finished, so there is nothing to describe yet."
    trained = [run for cell in compared if cell.pretrained for _, run in cell.finished]
    usual = [cell for cell in compared if cell.role == "baseline" and cell.pretrained]
    return " ".join(
        [
            *_model(trained or runs),
            *_training([run for cell in usual for _, run in cell.finished] or trained),
            *_methods(compared, _tokens(usual)),
            *_teachers(cells),
            *_seeds(compared, runs),
            *_protocol(runs),
            *_tasks(runs),
            *_statistics(compared, level, tests),
            *_environment(runs),
        ]
    )


def _distinct(runs: Iterable[Run], read: Callable[[Run], str | None]) -> list[str]:
    return list(dict.fromkeys(text for run in runs if (text := read(run))))


def _model(runs: Sequence[Run]) -> list[str]:
    models = _distinct(runs, _architecture)
    corpora = _distinct(runs, _corpus)
    tokenizers = _distinct(runs, _tokenizer)
    return [
        f"We pretrained {joined(models)} by masked language modeling on {joined(corpora)}, "
        f"with {joined(tokenizers)}."
    ]


def _architecture(run: Run) -> str:
    model = run.spec.resolved().model
    parameters = run.environment.get("parameters")
    size = f", {compact(parameters)} parameters" if parameters else ""
    if isinstance(model.init, ModelReference):
        return f"a model continued from {model.init}{size.replace(', ', ' (')}{')' if size else ''}"
    name, shape = _ARCHITECTURES[model.architecture or "bert"], SIZES[model.size or "mini"]
    article = "an" if name[0] in "AEIO" else "a"
    return f"{article} {name} encoder ({shape.layers} layers of width {shape.width}{size})"


def _corpus(run: Run) -> str:
    corpus = run.spec.corpus
    recorded = run.environment.get("corpus") or {}
    given = (getattr(corpus, key, None) for key in ("name", "path", "id"))
    name = recorded.get("name") or next((str(one) for one in given if one), corpus.source)
    if corpus.source == "local":
        name = Path(name).name  # a paper is no place for the folders of somebody's machine
    fingerprint = recorded.get("fingerprint")
    known = f" (fingerprint {str(fingerprint)[:_SHORT_HASH]})" if fingerprint else ""
    return f"the corpus {name}{known}"


def _tokenizer(run: Run) -> str:
    tokenizer = run.spec.resolved().tokenizer
    if tokenizer is None or isinstance(tokenizer, TrainedTokenizer):
        words = vocabulary_words(tokenizer or TrainedTokenizer(), run.results, run.environment)
        return f"{'an' if words.startswith('u') else 'a'} {words} trained on it"
    place = Path(tokenizer.path).name if tokenizer.source == "local" else tokenizer.name
    return f"the tokenizer {place}"


def _training(runs: Sequence[Run]) -> list[str]:
    if not runs:
        return []
    amounts = _distinct(runs, _amount)
    settings = _distinct(runs, lambda run: _optimizer(run.spec.pretraining))
    return [
        f"A run saw {' or '.join(amounts)}.",
        f"The optimizer was AdamW with {' or '.join(settings)}, with linear warm-up and decay.",
    ]


def _amount(run: Run) -> str:
    setting = run.spec.pretraining
    steps, tokens = (entry("cost", key)(run) for key in ("steps", "tokens"))
    batches = f"{counted(setting.batch_size, 'row')} of {setting.sequence_length} tokens"
    if tokens is None:
        return f"batches of {batches}"
    in_steps = f"{counted(round(steps), 'step')} of " if steps is not None else "steps of "
    return f"{compact(tokens)} tokens ({in_steps}{batches})"


def _optimizer(setting: Pretraining) -> str:
    return (
        f"a peak learning rate of {setting.learning_rate:g} and weight decay "
        f"{setting.weight_decay:g}, warmed up over {percent(setting.warmup)} of the steps"
    )


def _methods(cells: Sequence[CellRuns], usual: float | None) -> list[str]:
    said = []
    for cell in cells:
        if not cell.finished:
            continue
        if not cell.pretrained:
            said.append(f"{cell.label}: the model as it was initialised")
            continue
        words = _distinct(
            (run for _, run in cell.finished), lambda run: method_words(run.spec.resolved())
        )
        longer = _other_amount(cell, usual)
        said.append(f"{cell.label}: {' or '.join(words)}{longer}")
    runs = [run for cell in cells if cell.pretrained for _, run in cell.finished]
    corruptions = _distinct(runs, _corruption)
    noun = "method was" if len(said) == 1 else "methods were:"
    sentences = [f"The {noun} {'; '.join(said)}."]
    if corruptions:
        sentences.append(
            f"Unless said otherwise, {percent(USUAL_RATE)} of the tokens of a row were predicted; "
            f"of these {' or '.join(corruptions)}."
        )
    return sentences


def _other_amount(cell: CellRuns, usual: float | None) -> str:
    """How long a method was trained, where it is not as long as the baseline."""
    tokens = _tokens([cell])
    if tokens is None or usual is None or abs(tokens - usual) <= 0.01 * usual:
        return ""
    return f", trained on {compact(tokens)} tokens"


def _tokens(cells: Sequence[CellRuns]) -> float | None:
    """The most common number of training tokens."""
    found = [entry("cost", "tokens")(run) for cell in cells for _, run in cell.finished]
    known = [tokens for tokens in found if tokens]
    return Counter(known).most_common(1)[0][0] if known else None


def _corruption(run: Run) -> str | None:
    of = run.spec.resolved().masking.corruption
    if of is None:
        return None
    return (
        f"{percent(of.mask)} were replaced by the mask token, {percent(of.random)} by a random "
        f"token, and {percent(of.keep)} kept"
    )


def _teachers(cells: Sequence[CellRuns]) -> list[str]:
    labels = [cell.label for cell in cells if cell.role == "teacher"]
    if not labels:
        return []
    noun = "teacher was" if len(labels) == 1 else "teachers were"
    return [f"The {noun} pretrained in the same experiment: {joined(labels)}."]


def _seeds(cells: Sequence[CellRuns], runs: Sequence[Run]) -> list[str]:
    by_label = {cell.label: tuple(seed for seed, _ in cell.finished) for cell in cells}
    by_label = {label: seeds for label, seeds in by_label.items() if seeds}
    counts = {len(seeds) for seeds in by_label.values()}
    usual = max(by_label.values(), key=len)
    numbers = f" ({', '.join(map(str, sorted(usual)))})"
    text = f"Each method was pretrained with {counted(len(usual), 'seed')}{numbers}"
    if len(counts) > 1:
        fewer = [
            f"{label} with {len(seeds)}"
            for label, seeds in by_label.items()
            if len(seeds) < len(usual)
        ]
        text += f", except {joined(fewer)}"
    fine = {tuple(sorted(run.spec.evaluation.seeds)) for run in runs if _tuned(run)}
    if len(fine) == 1:
        (seeds,) = fine
        text += f", and each model fine-tuned with {counted(len(seeds), 'seed')}"
        text += f" ({', '.join(map(str, seeds))})"
    return [f"{text}."]


def _tuned(run: Run) -> list[str]:
    """The tasks of a run that take fine-tuning."""
    scored = run.results.get("tasks") or {}
    return [name for name in scored if name not in TASKS or TASKS[name].kind != "minimal-pairs"]


def _protocol(runs: Sequence[Run]) -> list[str]:
    names = list(dict.fromkeys(run.spec.evaluation.protocol for run in runs if _tuned(run)))
    said = [f"Fine-tuning followed the protocol {name}: {_how(PROTOCOLS[name])}." for name in names]
    from_mnli = {task for run in runs if run.spec.evaluation.intermediate for task in _tuned(run)}
    if onto := [task_title(task) for task in FROM_MNLI if task in from_mnli]:
        verb = "was" if len(onto) == 1 else "were"
        said.append(f"{joined(onto)} {verb} fine-tuned from the model fine-tuned on MNLI.")
    return said


def _how(protocol: Protocol) -> str:
    head = f"{counted(protocol.epochs, 'epoch')} with batches of {protocol.batch_size}"
    if protocol.min_steps:
        head = f"{head}, more on small training sets up to {protocol.min_steps:,} steps"
    if protocol.frozen_encoder:
        head = f"the encoder's weights frozen, {head}"
    if protocol.rate_factors:
        return (
            f"{head}; the learning rate was selected for each task on rows held out of the "
            "training split, never on the rows that are reported"
        )
    if protocol.learning_rate is None:
        head += " and a learning rate that follows the width of the model, the same for all tasks"
    else:
        head += f" and a learning rate of {protocol.learning_rate:g} for all tasks"
    if protocol.selects_on_reported:
        return (
            f"{head}, at most; the epoch with the lowest loss on the reported rows was selected, "
            "so that scores are too high"
        )
    return f"{head}; nothing was selected"


def _tasks(runs: Sequence[Run]) -> list[str]:
    found: dict[str, tuple[str, ...]] = {}
    for run in runs:
        for name, result in (run.results.get("tasks") or {}).items():
            found.setdefault(name, tuple(result.get("metrics") or ()))
    if not found:
        return ["The models were evaluated by their validation loss alone."]
    words = [_task(name, metrics) for name, metrics in found.items()]
    several = any(len(metrics) > 1 for metrics in found.values())
    verb = "task was" if len(words) == 1 else "tasks were"
    text = f"The evaluation {verb} {joined(words)}, scored on the development rows"
    sentences = [
        text + ("; the score of a task with several metrics is their mean." if several else ".")
    ]
    if "blimp" in found:
        pairs = {run.spec.evaluation.blimp_pairs for run in runs}
        some = next(iter(pairs)) if len(pairs) == 1 else None
        how_many = f"the first {some} pairs of each paradigm" if some else "all pairs"
        sentences.append(
            f"BLiMP was scored without fine-tuning, by pseudo-log-likelihood on {how_many}."
        )
    return sentences


def _task(name: str, metrics: Sequence[str]) -> str:
    named = [_METRICS[metric] for metric in metrics if metric in _METRICS]
    known = TASKS[name].metrics if name in TASKS else ()
    named = named or [_METRICS[metric] for metric in known]
    return f"{task_title(name)} ({joined(named)})" if named else task_title(name)


def _statistics(cells: Sequence[CellRuns], level: float, tests: int) -> list[str]:
    if all(len(cell.finished) < 2 for cell in cells):
        return ["With one pretraining seed a method there is no interval and no test."]
    sentences = [
        f"Intervals are {percent(level)} intervals of means over pretraining seeds. Their variance "
        "is that of the seeds and, of scores whose predictions were kept, that of the test "
        "examples by bootstrap, added up as crossed random effects after the Multi-Bootstrap "
        "(arXiv:2106.16163); the critical value lies between Student's t and the normal's. Methods "
        "that share pretraining seeds were compared in pairs."
    ]
    if tests:
        sentences.append(
            f"The p values are two-sided, corrected by Holm's method over {_all(tests)} of the "
            "report."
        )
    return sentences


def _all(tests: int) -> str:
    return "the one test" if tests == 1 else f"all {tests:,} tests"


def _environment(runs: Sequence[Run]) -> list[str]:
    hardware = _distinct(runs, lambda run: _machine(run.environment.get("hardware") or {}))
    versions = _distinct(runs, lambda run: _versions(run.environment.get("versions") or {}))
    precision = _distinct(runs, _precision)
    commits = _distinct(runs, lambda run: _commit(run.environment.get("commit")))
    said = []
    if hardware:
        said.append(f"Runs were done on {' or '.join(hardware)}")
    if precision:
        said.append(f"{'in' if said else 'Runs were done in'} {' or '.join(precision)}")
    sentences = [f"{' '.join(said)}."] if said else []
    if versions:
        sentences.append(f"Software: {'; or '.join(versions)}.")
    if commits:
        sentences.append(f"Commit of Entromask: {joined(commits)}.")
    return sentences


def _machine(hardware: dict[str, Any]) -> str | None:
    gpus = hardware.get("gpus") or []
    if gpus:
        names = dict.fromkeys(map(str, gpus))
        return joined([f"{gpus.count(name)} x {name}" for name in names])
    if not (name := hardware.get("processor")):
        return None
    cores, threads = hardware.get("cores"), hardware.get("threads")
    parts = [counted(cores, "core")] if cores else []
    parts += [f"{counted(threads, 'thread')} a run"] if threads else []
    return f"CPUs only ({', '.join([str(name), *parts])})"


def _versions(versions: dict[str, Any]) -> str | None:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or None


def _precision(run: Run) -> str | None:
    named = {"no": "32-bit floats", "bf16": "bfloat16", "fp16": "16-bit floats"}
    found = run.environment.get("precision")
    return named.get(found, f"precision {found}") if found else None


def _commit(commit: Any) -> str | None:
    if not commit:
        return None
    text = str(commit)
    changed = " with changes" if text.endswith("+") else ""
    return f"{text.rstrip('+')[:_SHORT_HASH]}{changed}"
