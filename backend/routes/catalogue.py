"""What a spec can choose from: masking presets and evaluation tasks."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Response

from backend.dependencies import answer, api_router
from backend.paging import page
from entromask.glue.tasks import TASKS
from entromask.presets import MASKING_PRESETS
from entromask.resources import Page, Strategy, Task

router = api_router("catalogue")

_TASK_FIELDS = ("name", "kind", "columns", "labels", "metrics")


@router.get(
    "/strategies",
    operation_id="list_strategies",
    summary="The masking presets",
    response_model=Page[Strategy],
)
async def strategies() -> Response:
    return answer(
        page(
            [
                {"name": name, **asdict(preset), "available": True}
                for name, preset in MASKING_PRESETS.items()
            ]
        )
    )


@router.get(
    "/tasks",
    operation_id="list_tasks",
    summary="The evaluation tasks",
    response_model=Page[Task],
)
async def tasks() -> Response:
    return answer(
        page([{name: getattr(task, name) for name in _TASK_FIELDS} for task in TASKS.values()])
    )
