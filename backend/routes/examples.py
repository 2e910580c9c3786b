"""Examples of bodies, for OpenAPI."""

from __future__ import annotations

from typing import Any

from fastapi import Body
from fastapi.openapi.models import Example

_SPEC: dict[str, Any] = {
    "name": "quick",
    "corpus": {"source": "builtin", "max_tokens": 200_000},
    "model": {"architecture": "bert", "size": "tiny"},
    "masking": {"preset": "random"},
    "pretraining": {"budget": {"steps": 100}},
    "evaluation": {"tasks": ["demo-order"], "seeds": [0]},
}

NEW_RUN = Body(
    openapi_examples={
        "quick": Example(
            summary="A small run on the text that comes with Python",
            value={"spec": _SPEC, "tags": ["try"], "notes": "first", "priority": 5},
        ),
    }
)
RUN_CHANGE = Body(
    openapi_examples={
        "label": Example(summary="Other tags and notes", value={"tags": ["paper"], "notes": "ok"})
    }
)
CLONE = Body(
    openapi_examples={
        "seed": Example(summary="Another seed", value={"overrides": {"seed": 1}}),
    }
)
