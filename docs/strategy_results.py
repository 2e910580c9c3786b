"""What benchmarks/results/strategies.json and masking.json say, as parts of docs/strategies.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
_PLATEAU = "never"
# Read off the table by its author; the figures are those of benchmarks/results/strategies.json.
_READING = """
What we read in it:

- **Compare a c with a c.** Random masking has 4.51 and 4.54 on the GPU, and the second seed once
  more on the CPU has 4.64: what is marked c is to be held against that.
- **At equal steps, sampling changes little**: self-masked-entropy-sample has 4.50
  and 4.48, teacher-masked-entropy-sample 4.57 and 4.56, amlm 4.51 and 4.62c. The visible view
  loses up to 0.2 on the common masks and gets most of it back by refitting the bias. Two seeds
  cannot tell these apart.
- **Hard selection loses everywhere**, by 0.2 nats (middle of a teacher's masked entropy) to more
  than 5 (the lowest of the model's own, which collapses onto a few types). Self-masking that
  looks only at the top feeds on itself.
- **Distillation helps at equal steps (4.20 to 4.23, four settings of one seed each) and not at
  equal compute**: it costs 2.9 times the FLOPs with this teacher, and random masking with twice
  the steps has 4.05 and 4.20c at 2.0 times. An experiment of three seeds and a smaller budget
  says the same (`docs/experiments.md`): 5.02 for distillation, 4.54 for random masking with 2.9
  times the steps.
- **Surprisal is no better a score than entropy**: sampled by the model's own it has 4.61 and 4.73c
  (by its entropy 4.50 and 4.48), by a teacher's 4.79 (4.57 and 4.56). In that experiment the
  teacher's is 0.85 nats behind random masking over three seeds, its entropy 0.10.
- **A moving average, or stored visible scores**, change nothing that two seeds would show: 4.59
  and 4.74c, 4.60 and 4.76c, where fresh scores have 4.60 and 4.70. Nor do fresh scores in the
  masked view, at 2.7 times the FLOPs: 4.50 and 4.63c, from the store 4.50 and 4.48.
- **A falling rate helps, in both seeds (4.35 and 4.36c)**, at 1.15 times the FLOPs: it predicts
  half as much again. What random masking makes of 1.15 times the steps was not run.
- **Whole words, spans and collocations** are harder than the common masks, which hide single
  tokens, and look worse on them; they were made for other ends than this loss.
- **PMI at temperature 1** draws nearly the same positions each epoch (repeat 0.60, loss 5.27 and
  5.30); at 3, the preset's since, masks repeat by 0.24 and the loss is 4.91 and 4.79.
- **Stored predictions** (distillation with refresh: cached) are not in the table; that experiment
  has them: 5.09 nats in the mean of three seeds where asking the teacher at each step has 5.02.
- **Starting from a teacher's weights** wins at once (3.82 and 3.79; the embeddings alone 3.96 and
  3.94), since those weights have read the text nine times.
- **BLiMP** lies between 49 and 56 % for all; it follows the loss.

None of this reproduces the published gain. The model, the text and the budget are small here, and
a larger setting may say otherwise; what it needs is seeds (`examples/paper-tiny.yaml` is a
start).
"""

# Of which runs the agreement of stored and fresh scores is shown, over training.
_CACHED = (
    "self-masked-entropy-high",
    "self-masked-entropy-sample",
    "self-entropy-sample, cached",
)


def measured() -> Iterator[str]:
    """The lines of the sections on real runs, agreement and cost."""
    found = _read("strategies")
    yield from _runs(found)
    yield from _agreement(found["settings"])
    yield from _cost(_read("masking"))


def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return data


def _runs(found: dict[str, Any]) -> Iterator[str]:
    settings, random = found["settings"], found["settings"]["random"]
    floor = 100 * random[0]["tasks"]["blimp"]["untrained_floor"]
    machine = found["machine"]
    yield "\n## What real runs showed\n"
    yield (
        "One run of each setting and seed: a ModernBERT-type model of 2 layers x 128 from scratch, "
        f"a vocabulary of 8,192, {found['epochs'] * found['tokens'] / 1e6:g} M tokens "
        f"({found['epochs']} epochs of {found['tokens'] / 1e6:g} M) of unlabelled IMDb reviews, "
        '1,099 steps of 64 rows of 128 tokens for every setting but "twice the steps". The '
        "teacher (4 x 256, random masking) has read the same text nine times; the teacher that "
        "weights are taken from (2 x 128) too; it was trained anew for the second seed. "
        "`benchmarks/strategies.py` runs it; "
        f"{machine['gpu']}, bf16, but where a seed is marked c: CPU, float32.\n"
    )
    yield (
        "Read it as a look, not as evidence: one or two pretraining seeds, one fine-tuning seed. "
        "Losses are in nats on the common random masks (lower is better); *refit* is the same "
        "after refitting the output bias alone; *rare* is the loss on all but the 100 most "
        "frequent types. BLiMP is the accuracy, in percent, on 200 pairs of each paradigm (chance "
        f"50, without pretraining {floor:.1f}). RTE and MRPC were scored too, with the fine-tuning "
        "of version 0.1.0, under which models of this size had not converged; those scores are "
        "withdrawn. *Repeat* is the share of an epoch's masks that the next epoch masks again, "
        "*top 100* the share of masks on the 100 most frequent types, "
        "*types* the effective number of masked types over that of random masks. FLOPs are those "
        "of the training over random's, with *+* what a teacher's first pass added (once for "
        "a corpus, whichever run asks first).\n"
    )
    yield (
        "| setting | loss | refit | rare | BLiMP | left plateau at | repeat | top 100 | types "
        "| FLOPs |"
    )
    yield "|---" * 10 + "|"
    base = statistics.fmean(run["cost"]["flops"] for run in random)
    for name, runs in settings.items():
        yield _row(name, runs, base)
    yield _READING


def _row(name: str, runs: list[dict[str, Any]], base: float) -> str:
    def losses(key: str) -> str:
        return " / ".join(
            f"{run['validation'][key]:.2f}" + ("" if run["gpus"] else "c") for run in runs
        )

    diagnostics = [run["diagnostics"] for run in runs]
    exits = [one["plateau_exit_step"] for one in diagnostics]
    cost = runs[0]["cost"]
    flops = f"{cost['flops'] / base:.2f}"
    if cost.get("scoring_flops"):
        flops += f" + {cost['scoring_flops'] / base:.2f}"
    cells = [
        name if " " in name else f"`{name}`",
        losses("loss"),
        losses("loss_bias_refit"),
        losses("loss_rest"),
        " / ".join(f"{100 * run['tasks']['blimp']['score']:.1f}" for run in runs),
        " / ".join(_PLATEAU if step is None else str(step) for step in exits),
        _mean(diagnostics, "mask_repeat_rate"),
        _mean(diagnostics, "frequent_type_share"),
        _mean(diagnostics, "effective_type_ratio"),
        flops,
    ]
    return f"| {' | '.join(cells)} |"


def _mean(diagnostics: list[dict[str, Any]], key: str) -> str:
    values = [one[key] for one in diagnostics if one.get(key) is not None]
    return f"{statistics.fmean(values):.2f}" if values else "-"


def _agreement(settings: dict[str, Any]) -> Iterator[str]:
    yield "\n## How far stored scores of the model itself agree with fresh ones\n"
    yield (
        "At each look of the runs above (seed 0), 64 rows are scored anew by the model as it is, "
        "and the masks by stored scores are compared with those by fresh scores under the same "
        "noise: the share of the positions that both select. In brackets what uniform masks share "
        "with the fresh ones, under the same noise; then the correlation of the two scores.\n"
    )
    names = [name for name in _CACHED if name in settings]
    series = {name: settings[name][0]["diagnostics"]["cache_agreement"] for name in names}
    steps = sorted({int(one["step"]) for looks in series.values() for one in looks})
    yield "| step | " + " | ".join(f"{name}" for name in names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for step in steps:
        cells = [_look(series[name], step) for name in names]
        yield f"| {step} | {' | '.join(cells)} |"


def _look(looks: list[dict[str, Any]], step: int) -> str:
    for look in looks:
        if look["step"] == step:
            return (
                f"{look['cache_agreement']:.2f} ({look['cache_agreement_uniform']:.2f}), "
                f"r = {look['cache_correlation']:.2f}"
            )
    return "random masks"


def _cost(found: dict[str, Any]) -> Iterator[str]:
    machine, times = found["machine"], found["milliseconds_per_step"]
    yield "\n## What a step costs beside random masking\n"
    yield (
        f"`benchmarks/masking.py`: BERT of {found['case'].replace('/', ', vocabulary ')}, "
        f"{found['batch'][0]} rows of {found['batch'][1]} tokens, all sides interleaved in one "
        f"process, medians of {found['rounds']} rounds; {machine['cpu']}, {machine['threads']} "
        f"threads, {found['precision']}. Stores are filled before. Memory is the peak of a process "
        "of its own for each side, over that of random masking.\n"
    )
    yield "| side | ms a step | over random | target | extra MiB |"
    yield "|---|---|---|---|---|"
    peaks = found["peak_memory_mib"]
    for name, ratio in found["over_random"].items():
        target = found["targets"].get(name)
        yield (
            f"| {name} | {times[name]:.0f} | {ratio['median']:.2f} ({ratio['min']:.2f}-"
            f"{ratio['max']:.2f}) | {f'{target:.2f}' if target else ''} | "
            f"{peaks[name] - peaks['random']:.0f} |"
        )
    yield (
        f"\nThe teacher's forward pass alone takes {found['teacher_forward_milliseconds']:.0f} ms; "
        "the target of distillation without a store is one plus 1.15 times that."
    )
