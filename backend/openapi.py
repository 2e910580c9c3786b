"""The description of the API: errors as problem+json, and what FastAPI leaves out."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from backend.problems import MEDIA_TYPE


def describe(app: FastAPI) -> None:
    """Makes `app.openapi()` tell what the server really answers."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            for path in schema["paths"].values():
                for operation in path.values():
                    _errors(operation["responses"])
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _errors(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= 400 and response.get("content"):
            # FastAPI declares them with the media type of the answers that are none.
            (content,) = response["content"].values()
            response["content"] = {MEDIA_TYPE: content}
