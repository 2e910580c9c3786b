"""The picture of masks, the estimate, the commands, references to models, names of files."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from entromask.resources import Estimate, Model
from frontend.parts.submit.catalogue import Catalogue, reference_of, word_of
from frontend.parts.submit.corpus_upload import safe_name
from frontend.parts.submit.draft import Draft
from frontend.parts.submit.estimate import rows
from frontend.parts.submit.miniature import legend, picture
from frontend.parts.submit.spec_form import path_of
from frontend.parts.submit.submission import as_commands
from tests.frontend.fake import NOW, a_run


def token(position: int, start: int, end: int, text: str = "x", special: bool = False) -> Any:
    return {"position": position, "start": start, "end": end, "token": text, "special": special}


TOKENS = [
    token(0, 0, 0, "[CLS]", True),
    token(1, 0, 3, "<b>"),
    token(2, 4, 6, "&"),
    token(3, 6, 8, "##am"),
    token(4, 8, 8, "[SEP]", True),
]


def test_a_picture_is_the_text_with_nothing_taken_for_markup() -> None:
    html = picture("<b> & am", TOKENS, [3], [0, 0.1, 0.2, 0.6, 0])
    assert "&lt;b&gt;</span> <span" in html
    assert "<b>" not in html
    assert html.count("<mark") == 1
    assert ">am</mark>" in html


def test_depth_is_probability_on_one_scale() -> None:
    html = picture("<b> & am", TOKENS, [], [0, 0.1, 0.25, 0.9, 0])
    assert [f"--depth:{depth}%" in html for depth in (20, 50, 100)] == [True] * 3
    assert "masked in 25 % of the draws" in html


def test_tokens_that_share_a_character_are_shown_once() -> None:
    bytes_ = [token(0, 0, 1), token(1, 0, 1), token(2, 0, 1), token(3, 1, 2)]
    html = picture("🎭!", bytes_, [1], [0.1] * 4)
    assert html.count("🎭") == 1
    assert html.index("🎭") < html.index("!")


def test_the_legend_counts_what_can_be_masked() -> None:
    entry = {"positions": [3], "select": "sample"}
    assert "the 1 of 3 tokens" in legend(TOKENS, entry)
    assert "in one draw" in legend(TOKENS, entry)
    assert "the same every time" in legend(TOKENS, entry | {"select": "top"})


COST = Estimate(
    tokens=4_915_200, steps=600, parameters=1_350_000, flops=1.5e13, seconds=240, basis="a formula"
)


def test_an_estimate_of_several_runs_multiplies_what_grows() -> None:
    found = {row[0]: row[1:] for row in rows(COST, 3)}
    assert found["Optimizer steps"] == ["600", "1,800"]
    assert found["Parameters"] == ["1.35 M", "1.35 M"]
    assert found["Time on one worker"] == ["about 4:00", "about 12:00"]


def test_what_is_not_known_has_no_row() -> None:
    assert rows(Estimate(steps=600, basis="few"), 1) == [["Optimizer steps", "600"]]


@pytest.mark.parametrize(
    ("word", "reference"),
    [
        ("run:run_1", {"run": "run_1"}),
        ("run:run_1@0", {"run": "run_1", "checkpoint": 0}),
        ("path:/a b/c", {"path": "/a b/c"}),
        ("hub:a/b@main", {"hub": "a/b", "revision": "main"}),
    ],
)
def test_a_word_names_a_model(word: str, reference: dict[str, Any]) -> None:
    assert reference_of(word) == reference
    assert word_of(reference) == word


def test_a_model_may_be_named_without_saying_what_it_is() -> None:
    found = [
        reference_of(word) for word in ("run_01", "/data/model", "answerdotai/ModernBERT-base")
    ]
    assert [next(iter(one)) for one in found] == ["run", "path", "hub"]


def test_a_run_that_is_going_can_be_a_teacher_until_it_has_a_model() -> None:
    run = a_run(1, "running")
    model = Model(id=run.id, name="done", reference={"run": run.id}, created_at=NOW)
    words = Catalogue(going=[run]).references()[f"run:{run.id}"]
    assert "still running" in words
    assert "done" in Catalogue(going=[run], models=[model]).references()[f"run:{run.id}"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("my corpus (1).txt", "my_corpus_1_.txt"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\a\\b.jsonl.gz", "b.jsonl.gz"),
        (".hidden.txt", "hidden.txt"),
        ("…", "_"),
        ("..", "corpus.txt"),
    ],
)
def test_the_name_of_an_upload_leads_nowhere(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_pointer_is_a_place_in_the_spec() -> None:
    assert path_of("/spec/evaluation/tasks/0") == ("evaluation", "tasks", 0)
    assert path_of("/spec/a~1b~0") == ("a/b~",)
    assert path_of("/notes") is None


def test_the_commands_are_what_a_shell_understands() -> None:
    draft = Draft(text="name: it's\n", notes="a 'note'; rm -rf $HOME", priority=2)
    command, call = as_commands(draft)
    words = shlex.split(command)
    assert words[:3] == ["entromask", "submit", "spec.yaml"]
    assert words[words.index("--notes") + 1] == draft.notes
    body = shlex.split(call.replace("\\\n", " "))[-1]
    assert '"name": "it\'s"' in body
    assert "rm -rf $HOME" in body


def test_several_seeds_are_a_loop() -> None:
    draft = Draft(text="name: a\n")
    draft.type_seeds("0, 3")
    command, _ = as_commands(draft)
    assert command.startswith("for seed in 0 3; do")
    assert "--set seed=$seed" in command
