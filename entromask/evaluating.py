"""The evaluation of a finished model: all of it, or one cell that any worker takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entromask.glue.plan import Cell
from entromask.run_folder import RunFolder
from entromask.spec import Evaluation


def evaluate_model(
    evaluation: Evaluation, folder: RunFolder, device: str
) -> dict[str, dict[str, Any]]:
    """The `tasks` table of results.json; computes what the folder does not hold yet."""
    from entromask.glue.floors import add_floors

    tasks = _scores(evaluation, folder, device)
    if evaluation.floor:
        tasks = add_floors(
            tasks,
            folder.model,
            evaluation,
            make_untrained=lambda path: save_untrained(folder.model, path),
            device=device,
            on_progress=_progress(folder),
        )
    return tasks


def evaluate_cell(evaluation: Evaluation, folder: RunFolder, cell: Cell, device: str) -> None:
    """Computes one piece of an evaluation, where `evaluate_model` then finds it.

    Raises:
        InputError: the model or the data cannot be used.
        DiskFullError: there is no room for the result.
    """
    from entromask.glue.floors import measure_floors

    part = evaluation.model_copy(update={"tasks": list(cell.tasks)})
    if cell.floor:
        floors = measure_floors(
            folder.model,
            part,
            make_untrained=lambda path: save_untrained(folder.model, path),
            device=device,
            on_progress=_progress(folder),
        )
        for task, floor in floors.items():
            folder.emit(
                "result",
                message=f"{task}, without pretraining",
                metrics={"untrained_floor": floor.score},
            )
        return
    if cell.seed is not None:
        part = part.model_copy(update={"seeds": [cell.seed]})
    _scores(part, folder, device)


def _scores(evaluation: Evaluation, folder: RunFolder, device: str) -> dict[str, dict[str, Any]]:
    from entromask.glue.evaluation import evaluate

    def on_result(task: str, seed: int | None, result: dict[str, Any]) -> None:
        where = task if seed is None else f"{task}, fine-tuning seed {seed}"
        folder.emit("result", message=where, metrics=result.get("metrics", {}))

    return evaluate(
        folder.model,
        evaluation,
        folder.evaluation,
        device=device,
        on_progress=_progress(folder),
        on_result=on_result,
        on_message=lambda message: folder.emit("warning", message=message),
    )


def _progress(folder: RunFolder) -> Any:
    def on_progress(done: int, total: int) -> None:
        folder.emit("progress", step=done, total=total)

    return on_progress


def save_untrained(model: Path, path: Path) -> None:
    """The same architecture with fresh weights: what the tasks score without pretraining."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    from entromask.modeling.architectures import save_pretrained
    from entromask.text.tokenizer import load_tokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = AutoModelForMaskedLM.from_config(
            AutoConfig.from_pretrained(model, trust_remote_code=False)
        )
    save_pretrained(untrained, load_tokenizer(str(model)), path)
