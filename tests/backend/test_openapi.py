"""The description of the API: what stands in docs/openapi.json is what the server answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.app import create_app

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return create_app().openapi()


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_committed_description_is_that_of_the_code(schema: dict[str, Any]) -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == schema, "run: make docs"


def test_every_operation_has_a_name_a_summary_and_a_tag(schema: dict[str, Any]) -> None:
    names = []
    for method, path, operation in operations(schema):
        assert operation.get("summary"), (method, path)
        assert operation.get("tags"), (method, path)
        names.append(operation["operationId"])
    assert len(names) == len(set(names))
    # A name that FastAPI made up repeats the path.
    assert [name for name in names if "v1" in name] == []


def test_every_error_is_declared_as_problem_json(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                content = response["content"]
                assert list(content) == ["application/problem+json"], (method, path, status)


def test_every_operation_under_v1_asks_for_a_key_and_declares_what_a_bad_one_gets(
    schema: dict[str, Any],
) -> None:
    found = [(op, path) for _, path, op in operations(schema) if path.startswith("/v1/")]
    assert len(found) > 15
    for operation, path in found:
        assert operation["security"] == [{"HTTPBearer": []}], path
        assert {"401", "403", "429", "503"} <= set(operation["responses"]), path


def test_every_json_body_has_an_example_and_its_errors(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            assert content["application/json"].get("examples"), (method, path)
            assert {"413", "415", "422"} <= set(operation["responses"]), (method, path)
