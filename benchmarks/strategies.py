"""Every masking strategy, distillation and initialisation once on real text, beside its controls.

    python benchmarks/strategies.py CORPUS GLUE_FOLDER [FOLDER_ABOVE_BLIMP] --output FOLDER

One small model, the same number of steps for each setting, two pretraining seeds. A setting's runs
are ordinary runs of `entromask run`; what is there already is not run again, so that a call that
was cut off (or ran out of `--minutes`) is continued by the same call. docs/strategies.md shows what
results/strategies.json holds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from _machine import write_result

from entromask.presets import MASKING_PRESETS

SEEDS = (0, 1)
TASKS = ["blimp", "rte", "mrpc"]
# The teacher has twice the layers and twice the width, and has read three times as much text;
# a teacher to start from has the shape of the student.
TEACHERS: dict[str, dict[str, Any]] = {
    "teacher": {"model": {"architecture": "modernbert", "size": "mini"}, "seed": 100},
    "teacher-tiny": {"seed": 101},
}
_SAMPLE = {"preset": "teacher-masked-entropy-sample"}
_SELF = {"preset": "self-entropy-sample"}
_SELF_MASKED = {"preset": "self-masked-entropy-sample"}
_FROM_TINY = {"teacher": "teacher-tiny"}

# Beyond the presets: what else a score, a source or the teacher can do, and the controls.
EXTRA: dict[str, dict[str, Any]] = {
    "random, twice the steps": {"masking": {"preset": "random"}, "times": 2},
    "teacher surprisal, masked, sample": {"masking": {**_SAMPLE, "score": "surprisal"}},
    "self surprisal, masked, sample": {"masking": {**_SELF_MASKED, "score": "surprisal"}},
    "pmi, temperature 1": {"masking": {"preset": "pmi", "temperature": 1.0}},
    "self-ema-entropy-sample": {"masking": {**_SELF, "source": "self-ema"}},
    "self-entropy-sample, cached": {"masking": {**_SELF, "refresh": "cached"}},
    "self-masked-entropy-sample, fresh": {"masking": {**_SELF_MASKED, "refresh": "fresh"}},
    "random + distillation": {"masking": {"preset": "random"}, "distillation": {}},
    "random + distillation, cached top-16": {
        "masking": {"preset": "random"},
        "distillation": {"refresh": "cached", "top_k": 16},
    },
    "teacher-masked-entropy-sample + distillation": {"masking": _SAMPLE, "distillation": {}},
    "self-entropy-sample + distillation": {"masking": _SELF, "distillation": {}},
    "self-masked-entropy-sample + distillation": {"masking": _SELF_MASKED, "distillation": {}},
    "random from teacher-complete": {
        "masking": {"preset": "random"},
        "model": {"init": "teacher-complete"},
        **_FROM_TINY,
    },
    "random from teacher-embeddings": {
        "masking": {"preset": "random"},
        "model": {"init": "teacher-embeddings"},
        **_FROM_TINY,
    },
}


def settings() -> dict[str, dict[str, Any]]:
    """Every setting by name: its masking and what else differs from the base."""
    return {name: {"masking": {"preset": name}} for name in MASKING_PRESETS} | EXTRA


def spec_of(
    name: str, setting: dict[str, Any], seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """The spec of one run of a setting."""
    teacher = setting.get("teacher", "teacher")
    uses = name.startswith("teacher-") or "teacher" in name or "distillation" in name
    return {
        "name": name,
        "seed": seed,
        "corpus": {"source": "local", "path": arguments.corpus, "max_tokens": arguments.tokens},
        "tokenizer": {"source": "train", "vocab_size": 8192},
        "model": {"architecture": "modernbert", "size": "tiny", **setting.get("model", {})},
        "teacher": {"run": str(arguments.output / teacher)} if uses else None,
        "masking": setting["masking"],
        "distillation": setting.get("distillation"),
        "pretraining": {
            "budget": {"tokens": arguments.epochs * arguments.tokens * setting.get("times", 1)},
            "batch_size": 64,
            "sequence_length": 128,
            "learning_rate": 3e-3,
            "checkpoint_every": 100_000,
            "evaluate_every": 100,
        },
        "evaluation": {
            "tasks": arguments.tasks,
            "source": {"local": arguments.glue},
            "seeds": arguments.seeds,
            "floor": True,
            "blimp_pairs": arguments.pairs,
        },
    }


def teacher_spec(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The spec of a teacher: random masking, no evaluation."""
    parts = TEACHERS[name]
    base = spec_of("random", {"masking": {"preset": "random"}, "times": 3}, 0, arguments)
    return base | {"name": name, "evaluation": {}} | parts


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """(folder name, spec) of every run, the first seed of each setting before the second."""
    for seed in SEEDS:
        for name, setting in settings().items():
            folder = f"{name}-seed{seed}".replace(", ", "_").replace(" + ", "+").replace(" ", "-")
            yield folder, spec_of(name, setting, seed, arguments)


def work(queue: Any, done: Any, output: Path, deadline: float) -> None:
    """Runs what the queue holds, one run after the other, until it is empty or time is up."""
    from entromask import run

    while time.time() < deadline:
        try:
            folder, spec = queue.get(timeout=1)
        except Empty:
            return
        teacher = (spec.get("teacher") or {}).get("run")
        if teacher and not (Path(teacher) / "results.json").is_file():
            queue.put((folder, spec))  # others come first
            time.sleep(0.2)
            continue
        started = time.time()
        try:
            run(spec, output=output / folder, resume=True)
            done.put((folder, time.time() - started, None))
        except Exception:
            done.put((folder, time.time() - started, traceback.format_exc()))


def run_all(todo: list[tuple[str, dict[str, Any]]], arguments: argparse.Namespace) -> None:
    """Runs the jobs in some processes at once; says of each when it is done."""
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Queue()
    for job in todo:
        queue.put(job)
    deadline = arguments.started + 60 * arguments.minutes
    processes = [
        context.Process(target=work, args=(queue, done, arguments.output, deadline), daemon=True)
        for _ in range(min(arguments.processes, len(todo)))
    ]
    for process in processes:
        process.start()
    # A run that does not end in time is cut off, and continued by the next call.
    grace = 60.0
    while any(process.is_alive() for process in processes) and time.time() < deadline + grace:
        report(done)
        time.sleep(0.5)
    for process in processes:
        process.terminate()
    report(done)


def report(done: Any) -> None:
    while not done.empty():
        folder, seconds, error = done.get()
        print(f"{folder:<55} {seconds:6.1f} s" + (f"\n{error}" if error else ""), flush=True)


def collect(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the finished runs say, by setting."""
    found: dict[str, Any] = {}
    for folder, spec in jobs(arguments):
        file = arguments.output / folder / "results.json"
        if file.is_file():
            data = json.loads(file.read_text(encoding="utf-8"))
            where = json.loads(file.with_name("environment.json").read_text(encoding="utf-8"))
            on = {"precision": where["precision"], "gpus": where["hardware"]["gpus"]}
            found.setdefault(spec["name"], []).append({"seed": spec["seed"], **on, **_kept(data)})
    return found


def _kept(data: dict[str, Any]) -> dict[str, Any]:
    wanted = ("loss", "accuracy", "loss_bias_refit", "loss_frequent", "loss_rest", "unigram_loss")
    numbers = (
        "plateau_exit_step",
        "strategy_start_step",
        "mask_repeat_rate",
        "position_coverage",
        "distinct_type_share",
        "frequent_type_share",
        "effective_type_ratio",
        "collapse_step",
        "top_masked_types",
        "cache_agreement",
    )
    return {
        "validation": {name: data["validation"][name] for name in wanted},
        "tasks": {
            name: {key: task[key] for key in ("score", "majority_floor", "untrained_floor")}
            for name, task in data["tasks"].items()
        },
        "diagnostics": {k: data["diagnostics"][k] for k in numbers if k in data["diagnostics"]},
        "cost": data["cost"],
        "warnings": data["warnings"],
    }


def table(found: dict[str, Any]) -> None:
    print(f"{'setting':<50} {'n':>2} {'loss':>7} {'refit':>7} {'BLiMP':>6} {'repeat':>6}")
    for name, runs in found.items():
        loss, refit = (
            statistics.fmean(run["validation"][key] for run in runs)
            for key in ("loss", "loss_bias_refit")
        )
        pairs = [run["tasks"]["blimp"]["score"] for run in runs if "blimp" in run["tasks"]]
        repeat = runs[0]["diagnostics"].get("mask_repeat_rate")
        print(
            f"{name:<50} {len(runs):>2} {loss:7.3f} {refit:7.3f} "
            f"{100 * statistics.fmean(pairs) if pairs else 0:6.1f} {repeat or 0:6.2f}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", help="a text file, or a folder with train.* and validation.*")
    parser.add_argument("glue", nargs="+", help="folders with <task>/<split>.jsonl")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--processes", type=int, default=1, help="runs at once")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no run after that")
    parser.add_argument("--tokens", type=int, default=3_000_000, help="of the corpus")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of fine-tuning")
    parser.add_argument("--pairs", type=int, default=200, help="of each BLiMP paradigm")
    parser.add_argument("--only", nargs="+", help="these settings alone")
    found = parser.parse_args()
    found.output = found.output.resolve()
    found.corpus = str(Path(found.corpus).resolve())
    found.glue = [str(Path(folder).resolve()) for folder in found.glue]
    return found


def main() -> None:
    given = arguments()
    given.started = time.time()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("ENTROMASK_HOME", str(given.output / "home"))
    given.output.mkdir(parents=True, exist_ok=True)
    wanted = [job for job in jobs(given) if not given.only or job[1]["name"] in given.only]
    todo = [job for job in wanted if not (given.output / job[0] / "results.json").is_file()]
    asked = {Path(spec["teacher"]["run"]).name for _, spec in todo if spec["teacher"]}
    run_all([(name, teacher_spec(name, given)) for name in TEACHERS if name in asked] + todo, given)
    found = collect(given)
    table(found)
    common = {"tokens": given.tokens, "epochs": given.epochs, "tasks": given.tasks}
    print(write_result("strategies", {**common, "seeds": list(SEEDS), "settings": found}))
    missing = len(list(jobs(given))) - sum(len(runs) for runs in found.values())
    if missing and not given.only:
        print(f"{missing} runs are missing; the same call continues", file=sys.stderr)


if __name__ == "__main__":
    main()
