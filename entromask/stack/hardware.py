"""How the cores and the GPUs of this machine are shared out among the workers."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec


def gpus() -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them. Never touches CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(index) for index in range(_count())]


def _count() -> int:
    if find_spec("pynvml") is not None:
        import pynvml

        try:
            pynvml.nvmlInit()
            count = int(pynvml.nvmlDeviceGetCount())
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return 0
        return count
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shares(workers: int, devices: list[str], available: int) -> list[dict[str, str]]:
    """The environment of each worker: its GPU, and as many threads as do not fight for a core.

    More workers than GPUs share them in turn. What the user has set for threads stays.
    """
    found = []
    for number in range(workers):
        share = {}
        if "OMP_NUM_THREADS" not in os.environ:
            share["OMP_NUM_THREADS"] = str(max(1, available // workers))
        if devices:
            share["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
            # The order in which the driver counts them, and nvidia-smi shows them.
            share["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        found.append(share)
    return found
