"""The client's calls about experiments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload
from urllib.parse import quote

from entromask.experiments import ExperimentSpec
from entromask.resources import (
    DEFAULT_PRIORITY,
    Experiment,
    ExperimentExtension,
    ExperimentPlan,
    ExperimentSummary,
    NewExperiment,
)
from entromask.rest.calls import TEXT, Calls
from entromask.rest.specs import to_send_experiment

ExperimentRef = Experiment | str
AnyExperimentSpec = ExperimentSpec | Mapping[str, Any] | str | Path


class Experiments(Calls):
    """Experiments: methods x seeds, and the report on them."""

    def create_experiment(
        self,
        spec: AnyExperimentSpec,
        *,
        tags: Sequence[str] = (),
        notes: str = "",
        priority: int = DEFAULT_PRIORITY,
        idempotency_key: str | None = None,
    ) -> Experiment:
        """Plans and queues all runs of an experiment; those that exist already are taken over.

        Args:
            spec: an ExperimentSpec, its file or a mapping.
            tags, priority: of each run that is made.
            idempotency_key: as of `create_run`.

        Raises:
            InputError: the file cannot be read, or holds no valid experiment.
        """
        body = NewExperiment(
            spec=to_send_experiment(spec), tags=list(tags), notes=notes, priority=priority
        )
        headers = None if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._transport.send(
            Experiment, "POST", "/v1/experiments", body.model_dump(), headers=headers
        )

    def plan_experiment(self, spec: AnyExperimentSpec) -> ExperimentPlan:
        """Which runs `create_experiment` would queue, and what they would cost."""
        body = NewExperiment(spec=to_send_experiment(spec)).model_dump()
        return self._transport.send(
            ExperimentPlan, "POST", "/v1/experiments", body, params={"validate_only": "true"}
        )

    def list_experiments(self, *, q: str | None = None) -> Iterator[Experiment]:
        """The experiments without their cells, newest first, page by page as they are asked for.

        Args:
            q: words that name, notes or id hold.
        """
        return self._pages(Experiment, "/v1/experiments", {"q": q})

    def get_experiment(self, experiment: ExperimentRef) -> Experiment:
        """An experiment with its cells and the states of their runs."""
        return self._transport.get(Experiment, _path(experiment))

    def extend_experiment(
        self,
        experiment: ExperimentRef,
        *,
        seeds: Sequence[int] = (),
        methods: Mapping[str, Mapping[str, Any]] | None = None,
        matrix: Mapping[str, Sequence[Any]] | None = None,
    ) -> Experiment:
        """Adds seeds, methods, or values of keys that the matrix has; what is there stays."""
        body = ExperimentExtension(
            seeds=list(seeds),
            methods={name: dict(chosen) for name, chosen in (methods or {}).items()},
            matrix={key: list(values) for key, values in (matrix or {}).items()},
        )
        return self._transport.send(
            Experiment, "POST", f"{_path(experiment)}/extend", body.model_dump()
        )

    def cancel_experiment(self, experiment: ExperimentRef) -> Experiment:
        """Stops its runs that are not over, each after a checkpoint."""
        return self._transport.send(Experiment, "POST", f"{_path(experiment)}/cancel")

    def retry_experiment(self, experiment: ExperimentRef) -> Experiment:
        """Continues its failed and cancelled runs, and makes deleted ones again."""
        return self._transport.send(Experiment, "POST", f"{_path(experiment)}/retry")

    def delete_experiment(self, experiment: ExperimentRef) -> None:
        """Removes an experiment that is over; its runs stay."""
        self._transport.delete(_path(experiment))

    @overload
    def summary(
        self, experiment: ExperimentRef, format: Literal["json"] = "json"
    ) -> ExperimentSummary: ...

    @overload
    def summary(
        self, experiment: ExperimentRef, format: Literal["md", "csv", "latex", "html"]
    ) -> str: ...

    def summary(self, experiment: ExperimentRef, format: str = "json") -> ExperimentSummary | str:
        """The report: scores with intervals, tests, costs and curves, of what is finished so far.

        Args:
            format: an `ExperimentSummary`, or with "md", "csv", "latex" or "html" the report as
                text.
        """
        path = f"{_path(experiment)}/summary"
        if format == "json":
            return self._transport.get(ExperimentSummary, path)
        answer = self._transport.request("GET", path, headers=TEXT, params={"format": format})
        return answer.text


def _path(experiment: ExperimentRef) -> str:
    id_ = experiment if isinstance(experiment, str) else experiment.id
    return f"/v1/experiments/{quote(id_, safe='')}"
