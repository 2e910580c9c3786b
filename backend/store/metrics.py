"""The history of metrics, as many points of it as a chart can show."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, literal, select
from sqlalchemy.orm import Session

from backend.db.tables import Metric, Run

# What the teacher's stored scores cost before the first step.
SCORING_COST = ("scoring_flops", "scoring_seconds")


def history(
    session: Session, run_id: str, keys: Sequence[str] | None, max_points: int
) -> dict[str, dict[str, Any]]:
    """By key: `steps`, `values`, and `points`, the number that there are in all.

    A key with more than `max_points` points is thinned to one point for each of `max_points`
    equal ranges of steps: the last of each range, as it was measured (no averages), and always
    the very last.
    """
    found = session.execute(_extents(run_id, keys)).all()
    answer = {}
    for key, points, first, last in found:
        ours = (Metric.run_id == run_id, Metric.key == key)
        # Not what was fed since they were counted.
        query = select(Metric.step, Metric.value).where(*ours, Metric.step <= last)
        if points > max_points:
            query = _last_of_ranges(ours, first, last, -(-(last - first + 1) // max_points))
        rows = session.execute(query.order_by(Metric.step)).all()
        answer[key] = {
            "steps": [row.step for row in rows],
            "values": [row.value for row in rows],
            "points": points,
        }
    return answer


def scoring_cost(session: Session, run_id: str, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Those of SCORING_COST as points at step 0, from the results of a finished run.

    Runs of earlier versions did not report them while they ran.
    """
    wanted = [key for key in SCORING_COST if key in keys]
    results = session.scalar(select(Run.results).where(Run.id == run_id)) if wanted else None
    cost = (results or {}).get("cost") or {}
    return {
        key: {"steps": [0], "values": [float(cost[key])], "points": 1}
        for key in wanted
        if isinstance(cost.get(key), int | float)
    }


def _extents(run_id: str, keys: Sequence[str] | None) -> Select[str, int, int, int]:
    """Of each key: how many points there are, the first step and the last.

    The points are counted in the index; the steps are two looks into it, where an aggregate beside
    the count would read and compare every row. One statement: all of it is of one moment.
    """
    counted = select(Metric.key, func.count().label("points")).where(Metric.run_id == run_id)
    if keys is not None:
        counted = counted.where(Metric.key.in_(keys))
    of_key = counted.group_by(Metric.key).subquery()

    def end(step: ColumnElement[int]) -> ScalarSelect[int]:
        ours = select(step).where(Metric.run_id == run_id, Metric.key == of_key.c.key)
        return ours.correlate(of_key).scalar_subquery()

    first, last = end(func.min(Metric.step)), end(func.max(Metric.step))
    return select(of_key.c.key, of_key.c.points, first, last).order_by(of_key.c.key)


def _last_of_ranges(
    ours: tuple[ColumnElement[bool], ...], first: int, last: int, width: int
) -> Select[int, float | None]:
    """The last point of each range of `width` steps: a look into the index for each range.

    Ranges are counted from the end, so that the very last point is always one.
    """
    ends = select(literal(last).label("step")).cte("ends", recursive=True)
    ends = ends.union_all(select(ends.c.step - width).where(ends.c.step - width >= first))
    found = (
        select(func.max(Metric.step))
        .where(*ours, Metric.step <= ends.c.step, Metric.step > ends.c.step - width)
        .correlate(ends)
        .scalar_subquery()
    )
    return select(Metric.step, Metric.value).where(
        *ours, Metric.step.in_(select(found).select_from(ends))
    )
