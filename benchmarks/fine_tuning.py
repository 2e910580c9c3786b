"""Fine-tuning in length buckets beside the Hugging Face Trainer, interleaved in one process.

Every side fine-tunes the same model from the same folder on the same tokenised rows, with the same
optimizer, schedule, clipping, batch size, epochs, precision, threads, allocator and dropout. The
peers are the `Trainer` padding each row to 128 tokens, and padding dynamically with
`group_by_length`.

    python benchmarks/fine_tuning.py [--glue DIR …] [--tokenizer DIR] [--rows 2048] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from _machine import write_result
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from entromask.glue.batches import EncodedSplit, encode_task
from entromask.glue.data import TaskData, load_task
from entromask.glue.fine_tuning import load_classifier, open_model_folder, train_classifier
from entromask.glue.tasks import TASKS
from entromask.modeling.architectures import build_model, save_pretrained
from entromask.presets import PROTOCOLS, Protocol
from entromask.spec import (
    BuiltinCorpus,
    LocalTokenizer,
    Model,
    TaskSource,
    TrainedTokenizer,
)
from entromask.text.corpus import open_corpus
from entromask.text.tokenizer import open_tokenizer
from entromask.training.device import keep_freed_memory

LENGTH = 128
TARGET = 2.3
REAL_TASKS = ("sst2", "cola", "mrpc", "rte", "stsb")
DEMO_TASKS = ("demo-order", "demo-pair")
# Name of a peer -> how it pads, and how it samples rows.
PEERS = {
    "padded_to_128": ("max_length", "random"),
    "group_by_length": ("longest", "group_by_length"),
}


def ours(
    folder: Path, data: TaskData, rows: EncodedSplit, protocol: Protocol, device: str
) -> Callable[[], float]:
    """Fine-tunes as the project does; returns the seconds."""

    def train() -> float:
        start = time.perf_counter()
        train_classifier(folder, data.task, rows, protocol, 0, device)
        _finish()
        return time.perf_counter() - start

    return train


def peer(
    folder: Path,
    data: TaskData,
    rows: EncodedSplit,
    protocol: Protocol,
    device: str,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
) -> Callable[[], float]:
    """Fine-tunes with the Trainer; returns the seconds."""
    padding, sampling = PEERS[name]
    examples = _examples(rows)
    output = tempfile.mkdtemp()

    def train() -> float:
        start = time.perf_counter()
        torch.manual_seed(0)
        model = load_classifier(folder, data.task.labels)
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=protocol.batch_size,
            num_train_epochs=protocol.epochs,
            learning_rate=protocol.learning_rate,
            weight_decay=protocol.weight_decay,
            warmup_steps=protocol.warmup,
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            max_grad_norm=1.0,
            bf16=device == "cuda",
            use_cpu=device == "cpu",
            train_sampling_strategy=sampling,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=device != "cpu",
        )
        collator = DataCollatorWithPadding(tokenizer, padding=padding, max_length=LENGTH)
        trainer = Trainer(
            model=model, args=arguments, train_dataset=examples, data_collator=collator
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        _finish()
        return time.perf_counter() - start

    return train


def measure(
    folder: Path, data: TaskData, protocol: Protocol, device: str, rounds: int
) -> dict[str, Any]:
    """Seconds of each side, one after the other in each round, and their ratios to ours."""
    config, tokenizer = open_model_folder(folder)
    rows = encode_task(data, tokenizer, config, LENGTH, ["train"])["train"]
    sides = {"entromask": ours(folder, data, rows, protocol, device)}
    for name in PEERS:
        sides[name] = peer(folder, data, rows, protocol, device, tokenizer, name)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, train in sides.items():
            taken = train()
            if number:  # the first round warms up
                seconds[name].append(taken)
    return {
        "task": data.task.name,
        "rows": len(rows),
        "mean_tokens": round(float(rows.lengths.mean()), 1),
        "seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "speedup": {name: _spread(seconds[name], seconds["entromask"]) for name in PEERS},
    }


def overall(results: list[dict[str, Any]]) -> dict[str, float]:
    """The ratio of the summed median seconds of all tasks, by peer."""
    total = {
        name: sum(result["seconds"][name] for result in results) for name in ("entromask", *PEERS)
    }
    return {name: round(total[name] / total["entromask"], 3) for name in PEERS}


def make_folder(folder: Path, size: str, tokenizer_folder: str | None) -> None:
    """Writes an untrained BERT with its tokenizer."""
    corpus = open_corpus(BuiltinCorpus())
    wanted = (
        LocalTokenizer(source="local", path=tokenizer_folder)
        if tokenizer_folder
        else TrainedTokenizer()
    )
    tokenizer = open_tokenizer(wanted, corpus)
    shape = Model.model_validate({"architecture": "bert", "size": size, "dropout": 0.1})
    save_pretrained(build_model(shape, tokenizer, LENGTH, 0), tokenizer, folder)


def shortened(data: TaskData, rows: int) -> TaskData:
    """The task with the first `rows` of its training split."""
    train = {column: values[:rows] for column, values in data.splits["train"].items()}
    return replace(data, splits={**data.splits, "train": train})


def _examples(rows: EncodedSplit) -> list[dict[str, Any]]:
    """The same tokens as the Trainer wants them."""
    labels = rows.labels.tolist()
    examples = []
    for row, (start, end) in enumerate(zip(rows.starts[:-1], rows.starts[1:], strict=True)):
        example: dict[str, Any] = {"input_ids": rows.tokens[start:end].tolist()}
        if rows.segments is not None:
            example["token_type_ids"] = rows.segments[start:end].tolist()
        examples.append({**example, "labels": labels[row]})
    return examples


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _spread(theirs: list[float], mine: list[float]) -> dict[str, float]:
    ratios = [their / own for their, own in zip(theirs, mine, strict=True)]
    return {
        "median": round(statistics.median(ratios), 3),
        "min": round(min(ratios), 3),
        "max": round(max(ratios), 3),
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--glue", nargs="*", help="local GLUE folders; default: the demo tasks")
    parser.add_argument("--tasks", nargs="*", help=f"default with --glue: {' '.join(REAL_TASKS)}")
    parser.add_argument("--tokenizer", help="a tokenizer folder; default: trained on the builtin")
    parser.add_argument("--size", default="mini", help="of the BERT, such as tiny or mini")
    parser.add_argument("--rows", type=int, default=1024, help="training rows of each task")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, and there is none")
    if options.threads:
        torch.set_num_threads(options.threads)
    names = options.tasks or (REAL_TASKS if options.glue else DEMO_TASKS)
    for name in names:
        if name not in TASKS or TASKS[name].kind not in ("glue", "demo"):
            parser.error(f"--tasks: no task '{name}' to fine-tune on")
    source = TaskSource(local=options.glue) if options.glue else None
    keep_freed_memory()
    transformers_logging.disable_progress_bar()
    # One pass over the rows, at a rate that every side is given.
    protocol = replace(
        PROTOCOLS["fixed"], learning_rate=1e-4, epochs=1, min_steps=0, max_length=LENGTH
    )
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        make_folder(folder, options.size, options.tokenizer)
        for name in names:
            data = shortened(load_task(name, source), options.rows)
            result = measure(folder, data, protocol, options.device, options.rounds)
            results.append(result)
            speedup = result["speedup"]
            print(
                f"{name:<12} {result['rows']:>6} rows of {result['mean_tokens']:>5} tokens   "
                f"{result['seconds']['entromask']:>7.2f} s   padded to 128 "
                f"{speedup['padded_to_128']['median']:.2f}x   group_by_length "
                f"{speedup['group_by_length']['median']:.2f}x",
                flush=True,
            )
    report = {
        "model": f"bert {options.size}",
        "tokenizer": Path(options.tokenizer).name if options.tokenizer else "builtin, 8,192 types",
        "device": options.device,
        "protocol": asdict(protocol),
        "rounds": options.rounds,
        "tasks": results,
        "speedup_overall": overall(results),
        "target_over_padded": TARGET,
    }
    line = ", ".join(
        f"{ratio:.2f}x over {name}" for name, ratio in report["speedup_overall"].items()
    )
    print(f"overall      {line} (target {TARGET}x over padded_to_128)")
    if not options.no_write:
        suffix = "" if options.device == "cpu" else "_cuda"
        print(f"written to {write_result(f'fine_tuning{suffix}', report)}")
    return report


if __name__ == "__main__":
    main()
