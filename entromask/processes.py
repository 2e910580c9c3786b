"""What the processes of a run started by torchrun or accelerate do together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from entromask.errors import ProcessLostError

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor

# One process may score a corpus or fine-tune for hours while the others wait for it. The usual
# timeout of a process group, 10 or 30 minutes, would end them.
_PATIENCE = timedelta(days=7)
_patient_group: list[Any] = []


def process_index() -> int:
    """The rank of this process, 0 where there is only one; known before torch is imported."""
    return int(os.environ.get("RANK") or 0) if is_one_of_several() else 0


def is_one_of_several() -> bool:
    """Whether a launcher has started this process beside others."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def prepare_to_wait(accelerator: Accelerator) -> None:
    """Open the process group of `wait_for_all`; every process calls this before anything else."""
    if accelerator.num_processes > 1 and not _patient_group:
        from torch import distributed

        _patient_group.append(distributed.new_group(backend="gloo", timeout=_PATIENCE))


def wait_for_all(accelerator: Accelerator) -> None:
    """Wait until every process has come this far, for days if need be.

    Raises:
        RuntimeError: at once, if a process has ended.
    """
    if accelerator.num_processes > 1:
        from torch import distributed

        distributed.barrier(group=_patient_group[0])


@contextmanager
def main_process_first(accelerator: Accelerator) -> Iterator[None]:
    """Run the body on the main process, then on the others, however long it takes."""
    if not accelerator.is_main_process:
        wait_for_all(accelerator)
    yield
    if accelerator.is_main_process:
        wait_for_all(accelerator)


def sum_over_processes(accelerator: Accelerator, value: Tensor) -> Tensor:
    """The element-wise sum of a tensor on the device; of a single process, the tensor itself."""
    if accelerator.num_processes == 1:
        return value
    total: Tensor = accelerator.reduce(value, reduction="sum")
    return total


def gather_rows(accelerator: Accelerator, rows: Tensor, batch_size: int) -> Tensor:
    """The rows of a whole batch, in its order.

    Args:
        rows: [b, ...], on the CPU: every `num_processes`-th row of the batch from this process's
            index on, as `Batches` deals them out. Their numbers may differ by one.
        batch_size: B, of all processes together.

    Returns:
        [B, ...], on the CPU.
    """
    world = accelerator.num_processes
    if world == 1:
        return rows
    padded = rows.new_zeros(-(-batch_size // world), *rows.shape[1:])
    padded[: len(rows)] = rows
    every = accelerator.gather(padded.to(accelerator.device)).cpu()
    batch: Tensor = every.view(world, *padded.shape).transpose(0, 1).flatten(0, 1)[:batch_size]
    return batch


@contextmanager
def lost_process_named(accelerator: Accelerator) -> Iterator[None]:
    """Turn the failure of a communication between processes into a sentence.

    Raises:
        ProcessLostError: another process has ended or does not answer.
    """
    try:
        yield
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not _is_of_communication(error):
            raise
        raise ProcessLostError(
            f"process {accelerator.process_index} of {accelerator.num_processes} has lost the "
            f"connection to the others: one of them has ended ({_first_line(error)})",
            "the cause is in the output of that process; start all of them again with --resume "
            "to go on from the last checkpoint",
        ) from error


def _is_of_communication(error: RuntimeError) -> bool:
    from torch import distributed

    # gloo's failures are plain RuntimeErrors that name its source files.
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _first_line(error: RuntimeError) -> str:
    return str(error).strip().partition("\n")[0][:200]
