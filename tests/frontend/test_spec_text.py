"""A spec's text: what is read from it, and what a change leaves of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import frontend
from frontend.parts.submit.spec_text import YamlError, changed, dump, get, read, with_value

EXAMPLES = sorted((Path(frontend.__file__).parents[1] / "examples").glob("*.yaml"))
QUICK = next(path for path in EXAMPLES if path.stem == "quick").read_text(encoding="utf-8")

CHANGES: list[tuple[tuple[str, ...], Any]] = [
    (("masking", "preset"), "random"),
    (("masking", "rate"), 0.2),
    (("masking", "rate"), None),
    (("masking", "corruption", "mask"), 0.9),
    (("masking",), None),
    (("teacher",), {"run": "run_1"}),
    (("corpus",), {"source": "local", "path": "/a: b # c"}),
    (("corpus", "max_tokens"), 5),
    (("tokenizer",), None),
    (("model", "size"), "base"),
    (("pretraining", "budget"), {"tokens": 5}),
    (("pretraining", "learning_rate"), 1e-05),
    (("evaluation", "source", "local"), ["/a" * 40, "/b" * 40]),
    (("evaluation", "tasks"), ["rte", "cola"]),
    (("evaluation", "seeds"), None),
    (("name",), "café “x”\nzwei 🎭"),
    (("name",), None),
    (("tags",), ["a", "b"]),
    (("unknown", "key"), True),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("path", "value"), CHANGES, ids=lambda one: str(one)[:40])
def test_a_change_sets_one_key_and_no_other(
    example: Path, path: tuple[str, ...], value: Any
) -> None:
    document = read(example.read_text(encoding="utf-8"))
    after = read(changed(document, path, value))
    assert after.data == with_value(document.data, path, value)
    assert get(after.data, path) == value


ODD = [
    "? name\n: a\n",
    "name: |\n  abc\nseed: 1\n",
    "name: >-\n  a\n\n\n# c\n",
    "masking: # c: d\n  rate: 1\nname:\n",
    "? masking # a: b\n: {rate: 1}\n",
    "%YAML 1.1\n---\nname: a\n...\n",
    "evaluation:\n- a\nname: 'a\n  b'\n",
    "name: a\r\nseed: 1\r\n",
    " {name: a}\n",
    "",
]


@pytest.mark.parametrize("text", ODD)
def test_texts_in_which_a_place_is_hard_to_find_change_right_all_the_same(text: str) -> None:
    document = read(text)
    for path, value in CHANGES:
        assert read(changed(document, path, value)).data == with_value(document.data, path, value)


def test_changes_one_after_another_keep_the_comments_of_what_stays() -> None:
    document = read(QUICK)
    for path, value in CHANGES:
        document = read(changed(document, path, value))
    for comment in ("no file, no network", "# peak; linear warm-up", "# rows of one step"):
        assert comment in document.text
    assert document.text.index("tags:") < document.text.index("corpus:")


def test_a_new_key_of_the_spec_stands_where_the_spec_has_it() -> None:
    text = changed(
        read("name: a\nmodel: {size: tiny}\nevaluation: {}\n"), ("teacher",), {"hub": "x"}
    )
    assert text.splitlines()[2] == "teacher: {hub: x}"
    assert changed(read("evaluation: {}\n"), ("name",), "a").startswith("name: a\n")


def test_a_spec_in_json_can_be_changed() -> None:
    text = changed(read('{"name": "a", "masking": {"rate": 0.1}}'), ("masking", "rate"), 0.3)
    assert read(text).data == {"name": "a", "masking": {"rate": 0.3}}


def test_the_last_key_of_a_group_takes_the_group_with_it() -> None:
    document = read("name: a\nmasking:\n  rate: 0.1\n")
    assert changed(document, ("masking", "rate"), None) == "name: a\n"
    assert changed(read("name: a\n"), ("name",), None) == ""


def test_a_long_group_becomes_lines() -> None:
    document = read("masking: {preset: teacher-masked-entropy-sample, temperature: 2.0}\n")
    text = changed(document, ("masking", "explore"), 0.123456789)
    assert max(map(len, text.splitlines())) <= 76
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert read(text).data["masking"]["explore"] == 0.123456789


@pytest.mark.parametrize(
    "value", ["a\nb: c\n", "#", "- x", "yes", "1e5", "\u2028\x85 \t'\"", "a: b"]
)
def test_any_string_survives_being_written(value: str) -> None:
    data = {"name": value, "corpus": {"path": value, "more": {"tags": [value, value * 60]}}}
    assert read(dump(data)).data == data
    document = read("masking:\n  rate: 1\n")
    assert read(changed(document, ("masking", "preset"), value)).data["masking"]["preset"] == value


def test_an_empty_text_is_an_empty_spec() -> None:
    assert read("# nothing\n").data == {}
    assert dump({"name": "a", "masking": {"rate": 0.1}}) == "name: a\nmasking: {rate: 0.1}\n"
    assert dump({}) == ""


def test_lines_are_those_of_the_keys() -> None:
    document = read("name: a\nevaluation:\n  tasks:\n    - rte\n    - nope\n  seeds: [0]\n")
    assert document.line(("evaluation", "tasks", 1)) == 5
    assert document.line(("evaluation", "floor")) == 2
    assert document.line(("teacher",)) is None


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ("a: 1\nb: [1", 2, 6, "expected"),
        ("a: 1\nb:\n  c: 2\n  c: 3", 4, 3, "given twice"),
        ("a: 1\nb: 2026-01-01", 2, 4, "quote it"),
        ("- 1", 1, 1, "not a mapping"),
        ("a: &x 1\nb: *x", 2, 4, "alias"),
        ("a: &x [1]\nb: [*x, *x]", 2, 5, "alias"),
        ("a:\n\tb: 1", 2, 1, "cannot start"),
        ("a: 1\n1: 2", 2, 1, "a key of a spec is a word"),
        ("a: 1\nb: .inf", 2, 4, "no number"),
        ("a: 1\nb: \x01", 2, 4, "character"),
        ("a: !!python/object:os.system 1", 1, 4, "tag"),
        ("a: 1.0e+999", 1, 1, "no spec can hold"),
        ("a: " + "[" * 5000, 1, 1, "no spec can hold"),
    ],
)
def test_what_cannot_be_read_is_told_with_line_and_column(
    text: str, line: int, column: int, word: str
) -> None:
    with pytest.raises(YamlError) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert word in caught.value.sentence
