"""Every key of a spec is a field, and a field means what YAML would."""

from __future__ import annotations

from typing import Any

import pytest

from entromask.spec import RunSpec
from frontend.parts.submit.spec_fields import field_of, fields, meant, schema, shown
from frontend.parts.submit.spec_more import DRAWERS, INITS
from tests.frontend.fake import a_run

# What the form has fields of its own for, beside the drawers.
BASICS = {"name", "seed", "tags", "teacher"}


def test_no_group_of_keys_is_forgotten() -> None:
    in_drawers = {group for drawer in DRAWERS.values() for group in drawer.groups}
    assert in_drawers | BASICS == set(RunSpec.model_fields)


def test_the_keys_of_a_resolved_spec_are_fields() -> None:
    spec = a_run().spec
    for group in ("corpus", "tokenizer", "model", "masking", "pretraining", "evaluation"):
        names = {one.path[1] for one in fields(group, spec)}
        assert set(spec[group]) <= names, group


def test_the_initial_weights_that_need_no_model_to_name_can_be_chosen() -> None:
    words = schema()["$defs"]["Model"]["properties"]["init"]
    [enum] = [
        kind["enum"] for kind in words["oneOf" if "oneOf" in words else "anyOf"] if "enum" in kind
    ]
    assert set(INITS) | {"scratch"} == set(enum)


@pytest.mark.parametrize(
    ("corpus", "keys"),
    [
        (None, {"source", "max_tokens"}),
        ({"source": "local"}, {"source", "path", "column", "max_tokens"}),
        ({"source": "hub"}, {"source", "name", "config", "split", "column", "max_tokens"}),
        ({"source": "upload"}, {"source", "id", "column", "max_tokens"}),
        ("nonsense", {"source", "max_tokens"}),
    ],
)
def test_a_corpus_has_the_keys_of_its_source(corpus: Any, keys: set[str]) -> None:
    found = fields("corpus", {"corpus": corpus})
    assert {one.path[1] for one in found} == keys
    assert found[0].options == ("builtin", "local", "hub", "upload")


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        (("pretraining", "learning_rate"), "1e-3", 0.001),
        (("pretraining", "learning_rate"), "0.", 0.0),
        (("pretraining", "batch_size"), "64", 64),
        (("pretraining", "batch_size"), "many", "many"),
        (("masking", "rate"), "0.2", 0.2),
        (
            ("masking", "rate"),
            "{schedule: linear, start: 0.3}",
            {"schedule": "linear", "start": 0.3},
        ),
        (("masking", "rate"), "{schedule: ", "{schedule:"),
        (("masking", "warmup"), "plateau", "plateau"),
        (("evaluation", "seeds"), "0, 1,", [0, 1]),
        (("evaluation", "source", "local"), "[/a, /b]", ["/a", "/b"]),
        (("tags",), "2024, two words", ["2024", "two words"]),
        (("name",), "007", "007"),
        (("name",), "  ", None),
    ],
)
def test_a_text_means_what_yaml_would(path: tuple[str, ...], text: str, value: Any) -> None:
    assert meant(text, field_of(*path).kind) == value


def test_what_a_field_shows_means_the_value_again() -> None:
    spec = a_run(preset="self-entropy-sample").spec
    values = [
        (one, value)
        for group in schema()["properties"]
        for one in fields(group, spec)
        if one.kind != "choice"
        if (value := _at(spec, one.path)) not in (None, [])
    ]
    assert len(values) > 15
    for one, value in values:
        assert meant(shown(value, one.kind), one.kind) == value, one


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data
