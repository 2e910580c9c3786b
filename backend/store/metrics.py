"""The history of metrics, as many points of it as a chart can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.tables import Metric


def history(
    session: Session, run_id: str, keys: Sequence[str] | None, max_points: int
) -> dict[str, dict[str, Any]]:
    """By key: `steps`, `values`, and `points`, the number that there are in all.

    A key with more than `max_points` points is thinned to one point for each of `max_points`
    equal ranges of steps: the last of each range, as it was measured (no averages), and always
    the very last.
    """
    wanted = select(Metric.key, func.count(), func.min(Metric.step), func.max(Metric.step)).where(
        Metric.run_id == run_id
    )
    if keys is not None:
        wanted = wanted.where(Metric.key.in_(keys))
    found = session.execute(wanted.group_by(Metric.key).order_by(Metric.key)).all()
    answer = {}
    for key, points, first, last in found:
        # Not what was fed since they were counted.
        ours = (Metric.run_id == run_id, Metric.key == key, Metric.step <= last)
        query = select(Metric.step, Metric.value).where(*ours)
        if points > max_points:
            width = -(-(last - first + 1) // max_points)
            # Ranges are counted from the end, so that the very last point is always one.
            place = (last - Metric.step) // width
            chosen = select(func.max(Metric.step)).where(*ours).group_by(place)
            query = query.where(Metric.step.in_(chosen))
        rows = session.execute(query.order_by(Metric.step)).all()
        answer[key] = {
            "steps": [row.step for row in rows],
            "values": [row.value for row in rows],
            "points": points,
        }
    return answer
