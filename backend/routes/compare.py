"""Comparisons: finished runs side by side, as data or as a table to be read."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response

from backend.comparing import compared, runs_to_compare
from backend.comparison_view import comparison_view
from backend.dependencies import Db, answer, api_router
from backend.problems import ProblemError, responses
from backend.routes import examples
from entromask.analysis import render
from entromask.resources import CompareRequest, Comparison

router = api_router("comparisons")

Format = Literal["json", "md", "csv", "latex"]
_MEDIA_TYPES: dict[Format, str] = {
    "md": "text/markdown",
    "csv": "text/csv",
    "latex": "application/x-latex",
}


@router.post(
    "/compare",
    operation_id="compare_runs",
    summary="Finished runs side by side: scores, losses, masks, cost, and what sets them apart",
    response_model=Comparison,
    responses={
        200: {
            "description": "the comparison, or with `format` its table as text",
            "content": {kind: {"schema": {"type": "string"}} for kind in _MEDIA_TYPES.values()},
        },
        **responses(404, 409, 413, 415),
    },
)
def compare(
    database: Db,
    body: Annotated[CompareRequest, examples.COMPARISON],
    format_: Annotated[
        Format, Query(alias="format", description="CSV has raw numbers, a line for each run")
    ] = "json",
) -> Response:
    if format_ == "csv" and body.baseline is not None:
        sentence = "CSV holds raw numbers, not differences"
        raise ProblemError(
            "invalid_request", sentence, "leave out baseline", errors=[("/baseline", sentence)]
        )
    with database.read() as session:
        rows = runs_to_compare(session, body)
    found = compared(rows, body)
    if format_ == "json":
        return answer(comparison_view(found))
    return Response(render(found, format_), media_type=f"{_MEDIA_TYPES[format_]}; charset=utf-8")
