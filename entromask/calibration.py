"""Measures how fast this machine trains, in about two seconds, once for a device and its threads.

python -m entromask.calibration
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from entromask.durations import Model, Speed, Work, read_speed, speed_file
from entromask.run_folder import write_atomically

if TYPE_CHECKING:
    import torch

_SECONDS = 0.9
_FEWEST = 3
_ARCHITECTURE = "modernbert"
# (size, vocabulary, rows, tokens a row): one where the passes count, one where the matrices do.
_SMALL, _LARGE = ("tiny", 2048, 16, 64), ("mini", 2048, 16, 64)
_LARGE_ON_GPU = ("medium", 8192, 64, 128)


class _Vocabulary:
    """What a model is built by in place of a tokenizer."""

    pad_token_id, cls_token_id, sep_token_id = 0, 2, 3
    bos_token_id = eos_token_id = None

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def calibrate() -> Speed:
    """Return this machine's speed, measured once: afterwards it is read from ENTROMASK_HOME."""
    from filelock import FileLock

    from entromask.training.device import keep_freed_memory

    keep_freed_memory()
    device = device_name()
    file = speed_file(device)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        speed = read_speed(file)
        if speed is None:
            speed = replace(measure(), device=device)
            write_atomically(file, json.dumps(speed.data()))
    return speed


def device_name() -> str:
    """Return what a speed holds for: the GPU, or the processor with its threads."""
    import torch

    from entromask.environment import processor

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread{'s' if threads > 1 else ''}"


def measure() -> Speed:
    """Return the speed from the steps of two small models."""
    import torch

    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    small, large = _SMALL, _LARGE_ON_GPU if cuda else _LARGE
    (a, first), (b, second) = (_step(shape, device) for shape in (small, large))
    return solved(a, first, b, second)


def solved(small: Work, first: float, large: Work, second: float) -> Speed:
    """Return the speed at which both works take the measured seconds.

    Layers x layer_seconds + flops / flops_per_second = seconds, for each of the two; where noise
    leaves no such speed, all the time is that of the matrices.
    """
    determinant = small.layers * large.flops - large.layers * small.flops
    layer, inverse = -1.0, 0.0
    if determinant:
        layer = (first * large.flops - second * small.flops) / determinant
        inverse = (small.layers * second - large.layers * first) / determinant
    if layer < 0 or inverse <= 0:
        layer, inverse = 0.0, (first + second) / (small.flops + large.flops)
    return Speed("", layer, 1 / inverse)


def _step(shape: tuple[str, int, int, int], device: torch.device) -> tuple[Work, float]:
    """Return the work of a training step, and its median seconds."""
    import torch

    from entromask.modeling.architectures import build_model
    from entromask.modeling.masked_lm import SparseMaskedLM
    from entromask.spec import Model as ModelPart

    size, types, rows, length = shape
    vocabulary: Any = _Vocabulary(types)
    part = ModelPart.model_validate({"architecture": _ARCHITECTURE, "size": size, "dropout": 0.0})
    model = SparseMaskedLM(build_model(part, vocabulary, length, seed=0)).to(device)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ids = torch.arange(rows * length).reshape(rows, length) % types
    labels = torch.where(ids % 7 == 0, ids, -100)
    predicted = int((labels >= 0).sum())
    ids, labels = ids.to(device), labels.to(device)
    cuda = device.type == "cuda"
    mixed = cuda and torch.cuda.is_bf16_supported()
    seconds: list[float] = []
    with torch.random.fork_rng(devices=[device] if cuda else []):
        begun = time.perf_counter()
        while len(seconds) <= _FEWEST or time.perf_counter() - begun < _SECONDS:
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                loss = model(ids, labels).loss / predicted
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    work = Model.of(_ARCHITECTURE, size, types, length).training(rows, length, predicted, 1)
    # The first one warms up.
    return work, median(seconds[1:])


if __name__ == "__main__":
    print(json.dumps(calibrate().data()))
