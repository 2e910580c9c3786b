"""A draft keeps form and text together, whatever comes in which order."""

from __future__ import annotations

import pytest

from frontend.parts.submit.draft import Draft, parse_seeds


def test_a_change_in_the_form_changes_the_text() -> None:
    draft = Draft(text="name: a  # mine\n")
    draft.set(("masking", "rate"), 0.2)
    assert draft.text == "name: a  # mine\nmasking: {rate: 0.2}\n"
    assert (draft.revision, draft.touched, draft.comments_lost) == (1, True, False)


def test_a_change_to_the_same_value_changes_nothing() -> None:
    draft = Draft(text="name: a\n")
    draft.set(("name",), "a")
    assert (draft.revision, draft.touched) == (0, False)


def test_a_change_in_the_text_changes_the_data_and_not_the_revision() -> None:
    draft = Draft(text="name: a\n")
    draft.typed("name: b\n", draft.id, 0)
    assert (draft.data, draft.revision) == ({"name": "b"}, 0)


def test_a_broken_text_is_kept_and_leaves_the_data() -> None:
    draft = Draft(text="name: a\n")
    draft.typed("name: [", draft.id, 0)
    assert draft.text == "name: ["
    assert draft.data == {"name": "a"}
    assert draft.fault is not None
    assert draft.fault.line == 1


def test_a_change_in_the_form_waits_for_a_broken_text_to_be_mended() -> None:
    draft = Draft(text="name: a\n")
    draft.typed("name: [", draft.id, 0)
    draft.set(("seed",), 3)
    assert draft.text == "name: ["
    assert draft.data == {"name": "a", "seed": 3}
    draft.typed("name: b\n", draft.id, 0)
    assert draft.fault is None
    assert draft.data == {"name": "b", "seed": 3}
    assert draft.text == "name: b\nseed: 3\n"
    assert draft.revision == 1


def test_a_text_typed_before_a_change_of_the_form_arrived_does_not_undo_it() -> None:
    draft = Draft(text="name: a\n")
    draft.set(("seed",), 3)
    draft.typed("name: b\n", draft.id, 0)
    assert draft.data == {"name": "b", "seed": 3}
    assert draft.revision == 2


def test_a_text_typed_after_a_change_of_the_form_may_undo_it() -> None:
    draft = Draft(text="name: a\n")
    draft.set(("seed",), 3)
    draft.typed("name: a\n", draft.id, draft.revision)
    assert draft.data == {"name": "a"}


def test_a_late_text_of_another_draft_is_no_text_of_this_one() -> None:
    draft = Draft(text="name: a\n")
    draft.typed("name: b\n", Draft().id, 0)
    assert draft.data == {"name": "a"}


def test_a_text_that_is_no_spec_by_its_length_is_refused() -> None:
    draft = Draft(text="name: a\n")
    draft.typed("# " + "x" * 100_001, draft.id, 0)
    assert draft.fault is not None
    assert "longer" in str(draft.fault)


def test_comments_that_a_rewriting_loses_are_told_of() -> None:
    draft = Draft(text="{name: a,  # mine\n seed: 1}\n")
    draft.set(("name",), "b")
    assert draft.comments_lost
    draft.typed(draft.text + "\n", draft.id, draft.revision)
    assert not draft.comments_lost


def test_the_first_seed_is_the_seed_of_the_text() -> None:
    draft = Draft(text="name: a\n")
    draft.type_seeds("4, 5")
    assert draft.data["seed"] == 4
    assert [spec["seed"] for spec in draft.specs()] == [4, 5]
    draft.typed("name: a\nseed: 9\n", draft.id, draft.revision)
    assert draft.seeds == "9"
    assert draft.specs() == [draft.data]


def test_typing_elsewhere_in_the_text_leaves_the_seeds() -> None:
    draft = Draft(text="name: a\n")
    draft.type_seeds("0, 1")
    draft.typed("name: b\n", draft.id, draft.revision)
    assert draft.seeds == "0, 1"


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        (" 0, 1 ,2", [0, 1, 2]),
        ("3 1;3", [3, 1]),
        ("0-4", [0, 1, 2, 3, 4]),
        ("4294967295", [4294967295]),
    ],
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "1.5", "4294967296", "0-9999999999", "0-50", "4-1", "0,"]
)
def test_what_is_no_seed_is_told(text: str) -> None:
    assert isinstance(parse_seeds(text), str)


def test_the_key_of_a_submission_changes_with_everything_that_is_sent() -> None:
    draft = Draft(text="name: a\n")
    keys = [draft.key(draft.data), draft.key(draft.data)]
    draft.notes = "b"
    keys.append(draft.key(draft.data))
    draft.priority = 1
    keys.append(draft.key(draft.data))
    draft.set(("name",), "c")
    keys += [draft.key(draft.data), Draft(text=draft.text).key(draft.data)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5
