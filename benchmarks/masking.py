"""What each strategy, and distillation, adds to a step of random masking, interleaved.

All sides train the same model from the same weights on the same rows with this project's loop; the
teacher has the student's shape. Stores are filled beforehand: the steps are those after the first
pass. Memory is the peak of a process of its own for each side.

    python benchmarks/masking.py [--device cuda] [--rounds 5]
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch
from _loop import LENGTH, Case, make_loop, make_model, make_rows, trainer
from _machine import machine, write_result

from entromask.masking.scoring import evaluating
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.training.device import keep_freed_memory
from entromask.training.pretraining import Pretraining

CASE = Case(4, 256, 30522)
GPU_CASE = Case(12, 768, 30522, batch=64)
_BATCHES = 4  # of the corpus: a store of a few batches is as fast as one of many

# By side: the parts of its spec, whether it has a teacher, and the ratio to random to be reached.
_SELF = {"preset": "self-entropy-sample", "warmup": 0.0}
_SELF_MASKED = {"preset": "self-masked-entropy-sample", "warmup": 0.0}
_RANDOM = {"masking": {"preset": "random"}}
SIDES: dict[str, tuple[dict[str, Any], bool, float | None]] = {
    "random": (_RANDOM, False, None),
    "frequency": ({"masking": {"preset": "frequency"}}, False, None),
    "amlm": ({"masking": {"preset": "amlm"}}, False, None),
    "self, masked, cached": ({"masking": _SELF_MASKED}, False, 1.10),
    "self, visible, cached, 10 % refreshed": (
        {"masking": {**_SELF, "refresh": "cached", "refresh_share": 0.1}},
        False,
        1.15,
    ),
    "teacher, masked, cached": (
        {"masking": {"preset": "teacher-masked-entropy-sample"}},
        True,
        1.03,
    ),
    "self, visible, fresh": ({"masking": _SELF}, False, None),
    "self-ema, visible, fresh": ({"masking": {**_SELF, "source": "self-ema"}}, False, None),
    "self, masked, fresh": ({"masking": {**_SELF_MASKED, "refresh": "fresh"}}, False, None),
    "distillation, cached top-16": ({**_RANDOM, "distillation": {"refresh": "cached"}}, True, 1.15),
    # Its target depends on the teacher's forward pass, which is timed beside it.
    "distillation": ({**_RANDOM, "distillation": {}}, True, None),
}


def side(name: str, case: Case, precision: str) -> Pretraining:
    """The loop of one side, ready for its first step."""
    parts, has_teacher, _ = SIDES[name]
    model = make_model(case)
    teacher = None
    if has_teacher:
        teacher = SparseMaskedLM(copy.deepcopy(model)).eval().requires_grad_(False)
        teacher.to("cuda" if precision == "bf16" else "cpu")
    return make_loop(
        case, model, make_rows(case.vocabulary, _BATCHES * case.batch), precision, parts, teacher
    )


def teacher_forward(loop: Pretraining) -> float:
    """Seconds of the teacher's states and its logits' share at the masked positions of a batch."""
    teacher, batch = loop.teacher, loop.batches[0]
    assert teacher is not None
    inputs, labels = loop.masker(batch.rows, batch.row_ids, 0)
    device = loop.accelerator.device
    inputs, where = inputs.to(device), (labels >= 0).to(device)
    started = time.perf_counter()
    with evaluating(teacher), loop.accelerator.autocast():
        states = teacher.states(inputs, where=where)
        weight, bias = teacher.projection()
        torch.nn.functional.linear(states, weight, bias)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measure(case: Case, precision: str, rounds: int, steps: int) -> dict[str, Any]:
    """Seconds a step of all sides, one after the other in each round, and their ratios."""
    loops = {name: side(name, case, precision) for name in SIDES}
    train = {name: trainer(loop) for name, loop in loops.items()}
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    forward: list[float] = []
    for one in train.values():
        one(_BATCHES)
    for _ in range(rounds):
        for name, one in train.items():
            seconds[name].append(one(steps))
        forward.append(statistics.median(teacher_forward(loops["distillation"]) for _ in range(3)))
    random = seconds["random"]
    ratios = {
        name: [own / base for own, base in zip(values, random, strict=True)]
        for name, values in seconds.items()
    }
    with_forward = [1.15 * f / base + 1.0 for f, base in zip(forward, random, strict=True)]
    return {
        "case": case.name,
        "batch": [case.batch, LENGTH],
        "milliseconds_per_step": {
            name: round(1000 * statistics.median(values), 1) for name, values in seconds.items()
        },
        "teacher_forward_milliseconds": round(1000 * statistics.median(forward), 1),
        "over_random": {name: _spread(values) for name, values in ratios.items()},
        "targets": {name: target for name, (_, _, target) in SIDES.items() if target}
        | {"distillation": round(statistics.median(with_forward), 3)},
    }


def peak_memory(name: str, case: Case, precision: str) -> float:
    """MiB that a few steps of one side take at most, in a process that does nothing else."""
    trainer(side(name, case, precision))(3)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_gpu_memory(name: str, case: Case) -> float:
    """MiB of a GPU that a few steps of one side take at most."""
    gc.collect()
    torch.cuda.empty_cache()
    train = trainer(side(name, case, "bf16"))
    train(1)
    torch.cuda.reset_peak_memory_stats()
    train(3)
    return torch.cuda.max_memory_allocated() / 2**20


def memory(device: str) -> dict[str, float]:
    """Peak MiB by side; of a CPU each in a process of its own."""
    if device == "cuda":
        return {name: round(peak_gpu_memory(name, GPU_CASE), 1) for name in SIDES}
    found = {}
    for name in SIDES:
        command = [sys.executable, __file__, "--device", device, "--memory-of", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = float(json.loads(done.stdout.splitlines()[-1]))
    return {name: round(value, 1) for name, value in found.items()}


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of a side in a round")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--memory-of", choices=SIDES, help="print the peak memory of one side")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, and there is none")
    if options.threads:
        torch.set_num_threads(options.threads)
    os.environ.setdefault("ENTROMASK_HOME", tempfile.mkdtemp())
    case = GPU_CASE if options.device == "cuda" else CASE
    precision = "bf16" if options.device == "cuda" else "fp32"
    if options.memory_of:
        # The allocator is left as it is: what it keeps for later would count as memory.
        print(json.dumps(peak_memory(options.memory_of, case, precision)))
        return
    peaks = memory(options.device)
    keep_freed_memory()
    result = measure(case, precision, options.rounds, options.steps)
    result["peak_memory_mib"] = peaks
    for name, ratio in result["over_random"].items():
        target = result["targets"].get(name)
        print(
            f"{name:<40} {result['milliseconds_per_step'][name]:>8} ms  {ratio['median']:.2f}x "
            f"({ratio['min']:.2f}-{ratio['max']:.2f})"
            + (f"  target {target:.2f}x" if target else "")
            + f"  {peaks[name] - peaks['random']:+7.1f} MiB"
        )
    print(f"{'teacher forward':<40} {result['teacher_forward_milliseconds']:>8} ms")
    if not options.no_write:
        name = "masking" if options.device == "cpu" else "masking_cuda"
        report = {"precision": precision, "rounds": options.rounds, **result}
        print(write_result(name, {"machine": machine(), **report}))


if __name__ == "__main__":
    main()
