"""Token previews, in the child of a worker of the preview queue; models stay loaded there."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from entromask.errors import EntromaskError

if TYPE_CHECKING:
    from entromask.analysis.previewer import Previewer

_log = logging.getLogger("worker")


@cache
def _previewer() -> Previewer:
    from entromask.analysis.previewer import Previewer

    return Previewer()


def warm_up(**_: Any) -> None:
    """Imports what a preview needs, so that the first one does not wait for it."""
    from worker.warm import warm_up as import_everything

    import_everything()


def preview(request: dict[str, Any]) -> dict[str, Any]:
    """The preview of a request as `POST /v1/previews` takes it.

    What cannot be done is said as {"error": {code, message, hint, key}}: `key` names the part of
    the request that is at fault, where one is.
    """
    arguments = dict(request)
    try:
        return _previewer().preview(arguments.pop("model"), arguments.pop("text"), **arguments)
    except EntromaskError as error:
        key = error.message.partition(":")[0]
        return _error(error.reason, error.message, error.hint, key if key in request else None)
    except Exception as error:
        _log.exception("preview failed")
        message = f"unexpected {type(error).__name__}: {error}"
        return _error("internal", message, "see the log of the preview worker", None)


def _error(code: str, message: str, hint: str | None, key: str | None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "hint": hint, "key": key}}
