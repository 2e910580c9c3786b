"""The service from Python: submit runs, watch them, fetch what they made.

    with Client() as client:
        run = client.create_run("examples/quick.yaml", tags=["first"])
        for event in client.follow(run):
            print(event.type, event.message)
        print(client.get_run(run).scores)

Every method may raise `ApiError` (the service refused; `code`, `status` and `errors` say why) or
`UnreachableError` (it does not answer); both are `EntromaskError`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from entromask.errors import EntromaskError
from entromask.resources import (
    DEFAULT_PRIORITY,
    OVER,
    CloneRequest,
    Event,
    NewRun,
    Page,
    Run,
    RunChange,
    RunStatus,
    Validation,
)
from entromask.rest.calls import RunRef, run_path
from entromask.rest.catalogue import Catalogue
from entromask.rest.comparing import Comparing
from entromask.rest.errors import ApiError, UnreachableError
from entromask.rest.experiments import Experiments
from entromask.rest.follow import follow
from entromask.rest.run_data import RunData
from entromask.rest.specs import to_send
from entromask.rest.transport import Transport
from entromask.settings import settings
from entromask.spec import RunSpec

__all__ = ["ApiError", "Client", "RunRef", "Spec", "UnreachableError", "WaitTimeoutError"]

Spec = RunSpec | Mapping[str, Any] | str | Path

_LARGEST_PAGE = 100
_SHORTEST_POLL, _LONGEST_POLL = 0.2, 2.0


class WaitTimeoutError(EntromaskError):
    """A run is not over after the time that it was waited for."""


class Client(RunData, Experiments, Comparing, Catalogue):
    """A client of the service; a context manager. Not for use by several threads at once.

    Args:
        url: default ENTROMASK_API_URL, else the service of `entromask up` on this machine.
        key: an API key; default ENTROMASK_API_KEY; an empty one sends none.
        timeout: how many seconds an answer may take.
        retry: whether to ask again when the service does not answer or is busy. Without, a call
            fails at once: for a program that asks again anyway. `follow` is patient either way.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        timeout: float = 30.0,
        retry: bool = True,
    ) -> None:
        here = settings()
        key = here.api_key if key is None else key
        self._transport = Transport(url or here.api, key, timeout, retry)

    @property
    def url(self) -> str:
        return self._transport.url

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def create_run(
        self,
        spec: Spec,
        *,
        tags: Sequence[str] = (),
        notes: str = "",
        priority: int = DEFAULT_PRIORITY,
        idempotency_key: str | None = None,
    ) -> Run:
        """Queues what a spec, its file or a mapping describes.

        Args:
            priority: 0 is served first, 9 last.
            idempotency_key: calls with the same key and content make one run, for 24 hours: for
                a form that may be sent twice. Default: each call makes a run.

        Raises:
            InputError: the file cannot be read, or holds no valid spec.
        """
        body = NewRun(spec=to_send(spec), tags=list(tags), notes=notes, priority=priority)
        headers = None if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._transport.send(Run, "POST", "/v1/runs", body.model_dump(), headers=headers)

    def validate_run(self, spec: Spec) -> Validation:
        """What `create_run` would queue, with every default, and what it would cost."""
        body = NewRun(spec=to_send(spec)).model_dump()
        return self._transport.send(
            Validation, "POST", "/v1/runs", body, params={"validate_only": "true"}
        )

    def list_runs(
        self,
        *,
        status: RunStatus | None = None,
        tag: str | None = None,
        experiment: str | None = None,
        strategy: str | None = None,
        group: str | None = None,
        q: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Run]:
        """The runs, newest first, fetched page by page as they are asked for.

        Args:
            q: words that name, notes, id or strategy hold.
            limit: at most so many; default all.
        """
        filters = _filters(status, tag, experiment, strategy, group, q)
        size = min(limit or _LARGEST_PAGE, _LARGEST_PAGE)
        return islice(self._pages(Run, "/v1/runs", filters, size), limit)

    def runs_page(
        self,
        *,
        status: RunStatus | None = None,
        tag: str | None = None,
        experiment: str | None = None,
        strategy: str | None = None,
        group: str | None = None,
        q: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Run]:
        """One page of what `list_runs` lists, by one request.

        Args:
            limit: at most so many, from 1 to 200.
            after: `next` of the page before.
        """
        asked = _filters(status, tag, experiment, strategy, group, q)
        return self._transport.get(Page[Run], "/v1/runs", asked | {"limit": limit, "after": after})

    def get_run(self, run: RunRef) -> Run:
        return self._transport.get(Run, run_path(run))

    def update_run(
        self,
        run: RunRef,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        priority: int | None = None,
    ) -> Run:
        """Changes what is given; the rest stays."""
        change = RunChange(
            name=name, tags=None if tags is None else list(tags), notes=notes, priority=priority
        )
        return self._transport.send(
            Run, "PATCH", run_path(run), change.model_dump(exclude_none=True)
        )

    def delete_run(self, run: RunRef) -> None:
        """Removes a run that is over, with its files."""
        self._transport.delete(run_path(run))

    def cancel(self, run: RunRef) -> Run:
        """Stops a run after it has written a checkpoint."""
        return self._act(run, "cancel")

    def kill(self, run: RunRef) -> Run:
        """Stops a run at once; its last checkpoint stays."""
        return self._act(run, "kill")

    def resume(self, run: RunRef) -> Run:
        """Continues a cancelled run from its last checkpoint."""
        return self._act(run, "resume")

    def retry(self, run: RunRef) -> Run:
        """Does the unfinished work of a failed run again, from its last checkpoint."""
        return self._act(run, "retry")

    def clone(
        self,
        run: RunRef,
        overrides: Mapping[str, Any] | None = None,
        *,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        priority: int | None = None,
    ) -> Run:
        """Queues a new run with the spec of another one.

        Args:
            overrides: changes by dotted key, for example `{"seed": 1}`.
        """
        body = CloneRequest(
            overrides=dict(overrides or {}),
            tags=None if tags is None else list(tags),
            notes=notes,
            priority=priority,
        ).model_dump(exclude_none=True)
        return self._transport.send(Run, "POST", f"{run_path(run)}/clone", body)

    def events(self, run: RunRef, after: int = 0, types: Sequence[str] = ()) -> Iterator[Event]:
        """The events so far behind sequence number `after`, oldest first; all, or of some types."""
        asked = {"after": after, "type": ",".join(types) or None}
        return self._pages(Event, f"{run_path(run)}/events", asked)

    def follow(self, run: RunRef, after: int = 0) -> Iterator[Event]:
        """The events behind `after` as they happen, until the run is over.

        Progress comes in between, as events of the type `progress`. A broken connection and a
        restart of the API are taken up where they broke off.
        """
        return follow(self._transport, run_path(run), after)

    def wait(self, run: RunRef, timeout: float | None = None) -> Run:
        """The run once it is over: succeeded, failed or cancelled.

        Raises:
            WaitTimeoutError: it is not over after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_POLL
        while (found := self.get_run(run)).status not in OVER:
            if deadline is not None and time.monotonic() + pause > deadline:
                raise WaitTimeoutError(
                    f"run {found.id} is still {found.status} after {timeout:g} s",
                    "wait again, or look at its events",
                )
            time.sleep(pause)
            pause = min(_LONGEST_POLL, pause * 1.5)
        return found

    def _act(self, run: RunRef, action: str) -> Run:
        return self._transport.send(Run, "POST", f"{run_path(run)}/{action}")


def _filters(
    status: RunStatus | None,
    tag: str | None,
    experiment: str | None,
    strategy: str | None,
    group: str | None,
    q: str | None,
) -> dict[str, Any]:
    return {
        "status": status,
        "tag": tag,
        "experiment": experiment,
        "strategy": strategy,
        "group": group,
        "q": q,
    }
