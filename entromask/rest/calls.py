"""What the groups of the client's calls share: the connection, lists, the address of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from entromask.resources import Page, Resource, Run
from entromask.rest.transport import Transport

RunRef = Run | str
Item = TypeVar("Item", bound=Resource)

# For answers that are no JSON.
TEXT = {"Accept": "text/plain, */*"}


class Calls:
    """Calls over one connection."""

    _transport: Transport

    def _pages(
        self,
        kind: type[Item],
        path: str,
        params: Mapping[str, Any] | None = None,
        size: int | None = None,
    ) -> Iterator[Item]:
        """All items of a list, fetched page by page as they are asked for."""
        asked = {**(params or {}), "limit": size}
        while True:
            page = self._transport.get(Page[kind], path, asked)  # type: ignore[valid-type]
            yield from page.data
            if not page.has_more or page.next is None:
                return
            asked["after"] = page.next


def run_id(run: RunRef) -> str:
    return run.id if isinstance(run, Run) else run


def run_path(run: RunRef) -> str:
    """The address of a run on the server."""
    return f"/v1/runs/{quote(run_id(run), safe='')}"
