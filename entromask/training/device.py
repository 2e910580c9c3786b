"""The device, the precision that it is good at, and the allocator of a CPU."""

from __future__ import annotations

import ctypes
import sys

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from entromask.errors import InputError
from entromask.processes import prepare_to_wait

_MIXED = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
# glibc's mallopt parameters (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def make_accelerator(precision: str) -> Accelerator:
    """An Accelerator on the GPUs that are there, else on the CPU.

    Args:
        precision: auto, fp32, bf16 or fp16. `auto` is bf16 on a GPU that supports it, fp16 on
            an older one, and fp32 on a CPU, where emulated bf16 can be many times slower.

    Raises:
        InputError: fp16 without a GPU.
    """
    cuda = torch.cuda.is_available()
    if precision == "auto":
        precision = ("bf16" if torch.cuda.is_bf16_supported() else "fp16") if cuda else "fp32"
    if precision == "fp16" and not cuda:
        raise InputError(
            "pretraining.precision 'fp16' needs a GPU, and there is none", "use auto or fp32"
        )
    # Accelerate holds the precision of a process's first run; each run may have its own.
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision=_MIXED[precision], cpu=not cuda)
    prepare_to_wait(accelerator)
    return accelerator


def keep_freed_memory() -> None:
    """Lets glibc keep what a step frees for the next step.

    By default every large tensor is returned to the system and paid for again in page faults,
    which can halve the speed of CPU training on a virtual machine.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 256 * 1024 * 1024)
