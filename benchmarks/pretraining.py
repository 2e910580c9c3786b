"""Pretraining steps beside the Hugging Face Trainer, interleaved in one process.

Both sides train the same model from the same weights on the same rows, with the same batch,
optimizer, clipping, precision, threads, allocator and dropout. The peer is `Trainer` with
`DataCollatorForLanguageModeling`. The third column is this project with fresh self-entropy masks.

    python benchmarks/pretraining.py [--device cuda] [--cases 2x128/30522 …] [--rounds 5]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _loop import LENGTH, Case, make_loop, make_model, make_rows, make_tokenizer, trainer
from _machine import machine, write_result
from transformers import (
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from entromask.training.device import keep_freed_memory

CASES = (
    Case(2, 128, 30522, target=3.3),
    Case(4, 256, 30522, target=2.2),
    Case(4, 256, 8192, target=1.15),
    Case(12, 768, 30522, batch=8),
)
GPU_CASES = (Case(12, 768, 30522, batch=256),)


class _Clock(TrainerCallback):
    """Notes when each step of the Trainer ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def peer(
    case: Case, model: BertForMaskedLM, rows: np.ndarray[Any, Any], precision: str, device: str
) -> Callable[[int], float]:
    """Trains `steps` steps with the Trainer; returns the seconds of one, the first left out."""
    collator = DataCollatorForLanguageModeling(make_tokenizer(case.vocabulary))
    data = [{"input_ids": row} for row in rows.astype(np.int64).tolist()]
    folder = tempfile.mkdtemp()

    def train(steps: int) -> float:
        clock = _Clock()
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=case.batch,
            max_steps=steps + 1,
            learning_rate=1e-4,
            weight_decay=0.01,
            bf16=precision == "bf16",
            use_cpu=device == "cpu",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=device != "cpu",
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=collator,
            callbacks=[clock],
        ).train()
        return (clock.ends[-1] - clock.ends[0]) / steps

    return train


def ours(
    case: Case, model: BertForMaskedLM, rows: np.ndarray[Any, Any], precision: str, preset: str
) -> Callable[[int], float]:
    """Trains `steps` steps with this project's loop; returns the seconds of one."""
    masking = {"preset": preset, "warmup": 0.0}
    return trainer(make_loop(case, model, rows, precision, {"masking": masking}))


def measure(case: Case, precision: str, device: str, rounds: int, steps: int) -> dict[str, Any]:
    """Seconds a step of the three, one after the other in each round, and their ratios."""
    rows, model = make_rows(case.vocabulary, 64 * case.batch), make_model(case)
    sides = {
        "trainer": peer(case, copy.deepcopy(model), rows, precision, device),
        "random": ours(case, copy.deepcopy(model), rows, precision, "random"),
        "self_entropy": ours(case, copy.deepcopy(model), rows, precision, "self-entropy-sample"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for train in sides.values():
        train(1)
    for _ in range(rounds):
        for name, train in sides.items():
            seconds[name].append(train(steps))
    speedups = [t / r for t, r in zip(seconds["trainer"], seconds["random"], strict=True)]
    costs = [s / r for s, r in zip(seconds["self_entropy"], seconds["random"], strict=True)]
    return {
        "case": case.name,
        "batch": [case.batch, LENGTH],
        "milliseconds_per_step": {
            name: round(1000 * statistics.median(values), 1) for name, values in seconds.items()
        },
        "speedup_over_trainer": _spread(speedups),
        "target": case.target,
        "self_entropy_over_random": _spread(costs),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cases", nargs="*", help="such as 2x128/30522; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a side in a round")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, and there is none")
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    precision = "bf16" if options.device == "cuda" else "fp32"
    cases = GPU_CASES if options.device == "cuda" else CASES
    if options.cases:
        cases = tuple(case for case in (*CASES, *GPU_CASES) if case.name in options.cases)
    results = []
    for case in cases:
        result = measure(case, precision, options.device, options.rounds, options.steps)
        results.append(result)
        times = result["milliseconds_per_step"]
        print(
            f"{case.name:<14} Trainer {times['trainer']:>8} ms   random {times['random']:>8} ms   "
            f"{result['speedup_over_trainer']['median']:.2f}x"
            + (f" (target {case.target}x)" if case.target else "")
            + f"   self-entropy {times['self_entropy']:>8} ms   "
            f"{result['self_entropy_over_random']['median']:.2f}x random",
            flush=True,
        )
    report = {
        "machine": machine(),
        "precision": precision,
        "rounds": options.rounds,
        "steps_per_round": options.steps,
        "dropout": 0.1,
        "cases": results,
    }
    if not options.no_write:
        suffix = "" if options.device == "cpu" else "_cuda"
        write_result(f"pretraining{suffix}", report)
    return report


if __name__ == "__main__":
    main()
