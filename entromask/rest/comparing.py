"""The client's call that puts runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from entromask.resources import Comparison
from entromask.rest.calls import TEXT, Calls, RunRef, run_id


class Comparing(Calls):
    """Comparisons."""

    @overload
    def compare(
        self,
        runs: Sequence[RunRef] | None = None,
        groups: Sequence[str] | None = None,
        baseline: RunRef | None = None,
        format: Literal["json"] = "json",
        *,
        group: bool = True,
    ) -> Comparison: ...

    @overload
    def compare(
        self,
        runs: Sequence[RunRef] | None = None,
        groups: Sequence[str] | None = None,
        baseline: RunRef | None = None,
        *,
        format: Literal["md", "csv", "latex"],
        group: bool = True,
    ) -> str: ...

    def compare(
        self,
        runs: Sequence[RunRef] | None = None,
        groups: Sequence[str] | None = None,
        baseline: RunRef | None = None,
        format: str = "json",
        *,
        group: bool = True,
    ) -> Comparison | str:
        """Succeeded runs side by side: scores, losses, masks, cost, and how their specs differ.

        Args:
            runs: the runs; or else
            groups: group hashes, for all succeeded runs of each.
            baseline: the run, or the group hash, that the others are shown as differences from.
            format: a `Comparison`, or with "md", "csv" or "latex" the table as text.
            group: whether the runs of one group, the seeds of a method, share a column.

        Raises:
            ApiError: there is no such run, or it has not succeeded.
        """
        body: dict[str, Any] = {"group": group}
        if runs is not None:
            body["runs"] = [run_id(run) for run in runs]
        if groups is not None:
            body["groups"] = list(groups)
        if baseline is not None:
            body["baseline"] = run_id(baseline)
        if format == "json":
            return self._transport.send(Comparison, "POST", "/v1/compare", body)
        answer = self._transport.request(
            "POST", "/v1/compare", headers=TEXT, params={"format": format}, json=body
        )
        return answer.text
