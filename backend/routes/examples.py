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
NEW_MODEL = Body(
    openapi_examples={
        "hub": Example(
            summary="A model on the Hub", value={"hub": "google/bert_uncased_L-2_H-128_A-2"}
        ),
        "folder": Example(summary="A folder of the server", value={"path": "/data/models/bert"}),
    }
)
PREVIEW = Body(
    openapi_examples={
        "masks": Example(
            summary="What two presets would mask",
            value={
                "text": "Which tokens should a model be trained to predict?",
                "model": {"run": "run_0193f2a1c4b27d1e9a4c3b2f"},
                "presets": ["random", "self-entropy-sample"],
                "rate": 0.15,
            },
        )
    }
)
COMPARISON = Body(
    openapi_examples={
        "runs": Example(
            summary="Two runs, one as a difference from the other",
            value={
                "runs": ["run_0193f2a1c4b27d1e9a4c3b2f", "run_0193f2a1c4b27d1e9a4c3b30"],
                "baseline": "run_0193f2a1c4b27d1e9a4c3b2f",
            },
        ),
        "groups": Example(
            summary="Two methods, each with all of its seeds",
            value={"groups": ["0" * 64, "1" * 64]},
        ),
    }
)
CLONE = Body(
    openapi_examples={
        "seed": Example(summary="Another seed", value={"overrides": {"seed": 1}}),
    }
)
NEW_EXPERIMENT = Body(
    openapi_examples={
        "two": Example(
            summary="Two ways to mask, three seeds, with the controls",
            value={
                "spec": {
                    "name": "first",
                    "base": _SPEC,
                    "matrix": {"masking.preset": ["random", "self-entropy-sample"]},
                    "seeds": [0, 1, 2],
                    "baseline": "random",
                },
                "tags": ["try"],
            },
        ),
    }
)
EXTENSION = Body(
    openapi_examples={
        "seeds": Example(summary="Two more seeds", value={"seeds": [3, 4]}),
    }
)
