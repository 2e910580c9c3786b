"""What the token heat map is made of: its colours, a text's pieces, what is hidden of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from frontend.parts.colours import change, contrast, heat
from frontend.parts.entropy import mask_rows, token_map
from frontend.parts.entropy.agreement import _matrix
from frontend.parts.entropy.mask_effect import changes, named, probability, rank, signed
from frontend.parts.entropy.model_choice import checkpoints
from frontend.parts.entropy.pieces import BETWEEN, FRAME, pieces, shown
from frontend.parts.entropy.previews import Preview, Token, parse
from frontend.parts.entropy.spans import clean, hidden
from tests.frontend.a_preview import a_preview

MODEL = {"run": "run_1"}
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


def of(text: str, **asked: Any) -> Preview:
    return parse(a_preview(text, MODEL, **asked))


def tokens(*spans: tuple[int, int]) -> list[Token]:
    """Tokens that stand at these places of a text."""
    return [
        Token(place, f"t{place}", start, end, False, False, 1.0, 2.0, 3.0, (), ())
        for place, (start, end) in enumerate(spans)
    ]


def test_every_shade_of_the_map_can_be_read() -> None:
    shares = [level / (token_map.LEVELS - 1) for level in range(token_map.LEVELS)]
    assert min(contrast(*heat(share)) for share in shares) >= 4.5
    assert min(contrast(*change(2 * share - 1)) for share in shares) >= 4.5


def test_more_is_lighter_and_the_ends_of_a_change_are_told_apart() -> None:
    shades = [contrast(heat(level / 255)[0], "#000000") for level in range(256)]
    assert shades == sorted(shades)
    assert change(-1)[0] != change(0)[0] != change(1)[0] != change(-1)[0]
    assert heat(-1) == heat(0)
    assert heat(7) == heat(1)
    assert change(7) == change(1)


@pytest.mark.parametrize(
    "text",
    [
        "  The function returns\n\na list. ",
        "<script>alert(1)</script><b>x</b>",
        "مرحبا the שלום",
        f"a {FAMILY} b",
        "cafe\u0301",
    ],
)
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    cut = list(pieces(text, of(text).tokens))
    assert "".join(words for index, words in cut if index != FRAME) == text
    assert [words for index, words in cut if index == FRAME] == ["[CLS]", "[SEP]"]


def test_bytes_of_one_character_show_it_once() -> None:
    text = "a 😀!"
    cut = list(pieces(text, tokens((0, 1), (2, 3), (2, 3), (2, 3), (3, 4))))
    assert cut == [(0, "a"), (BETWEEN, " "), (1, "😀"), (2, ""), (3, ""), (4, "!")]


@pytest.mark.parametrize(
    "drawn", [FAMILY, "🇩🇪", "👍🏽", "e\u0301", "❤\ufe0f", "\u1112\u1161\u11ab", "नि"]
)
def test_parts_that_are_drawn_as_one_are_not_torn_apart(drawn: str) -> None:
    text = f"x{drawn}y"
    spans = [(place, place + 1) for place in range(len(text))]
    cut = list(pieces(text, tokens(*spans)))
    assert cut[1] == (1, drawn)
    assert [words for _, words in cut[2:]] == [""] * (len(drawn) - 1) + ["y"]


def test_two_flags_are_two_characters() -> None:
    cut = list(pieces("🇩🇪🇫🇷", tokens((0, 1), (1, 2), (2, 3), (3, 4))))
    assert [words for _, words in cut] == ["🇩🇪", "", "🇫🇷", ""]


def test_a_space_that_a_vocabulary_counts_to_a_word_stands_before_it() -> None:
    cut = list(pieces("a  list\n", tokens((0, 1), (1, 7), (7, 8))))
    assert cut == [(0, "a"), (BETWEEN, "  "), (1, "list"), (2, "\n")]


def test_a_token_without_characters_of_its_own_is_named_by_the_vocabulary() -> None:
    assert shown("a \n", tokens((0, 1))[0]) == "a"
    assert shown("a \n", tokens((2, 3))[0]) == "t0"


def test_a_selection_hides_what_shares_a_character_with_it_for_every_tokenizer() -> None:
    whole, split = tokens((0, 7), (8, 9)), tokens((0, 4), (4, 7), (8, 9))
    assert hidden(whole, [(4, 7)]) == [0]
    assert hidden(split, [(4, 7)]) == [1]
    assert hidden(split, [(0, 7)]) == [0, 1]
    assert hidden(split, [(7, 8)]) == []


def test_the_frame_between_two_windows_is_never_hidden() -> None:
    first, frame, second = tokens((0, 1), (1, 1), (2, 6))
    frame = replace(frame, entropy=None)
    assert hidden([first, frame, second], [(0, 6)]) == [0, 2]


@pytest.mark.parametrize(
    ("given", "spans"),
    [
        (None, []),
        ("words", []),
        ([["x", 1], [1], None, [3, 2], [5, 5]], []),
        ([[3, 5], [0, 2]], [(0, 2), (3, 5)]),
        ([[0, 2], [2, 4], [1, 3]], [(0, 4)]),
        ([[-5, 2], [8, 99]], [(0, 2), (8, 10)]),
    ],
)
def test_a_selection_from_a_browser_is_put_in_order(given: Any, spans: Any) -> None:
    assert clean(given, 10) == spans


def test_the_component_gets_a_long_text_as_numbers() -> None:
    text = "a list of words " * 1000
    preview = of(text)
    pane = token_map._pane(text, token_map.Pane("run_1", "model", preview, preview))
    assert pane["before"] is None
    assert pane["top"][1] == [pane["words"].index("the"), 0.5, pane["words"].index("a"), 0.25]
    assert len(json.dumps(pane)) < 200 * len(preview.tokens)


def test_the_component_gets_what_was_before_only_where_something_is_masked() -> None:
    text = "a list"
    pane = token_map.Pane("run_1", "model", of(text), of(text, masked=[2]))
    data = token_map._pane(text, pane)
    assert data["before"] == [None, 1.0, 1.0, None]
    assert data["entropy"] == [None, 1.5, 6.0, None]


def test_the_largest_changes_come_first_and_leave_the_masked_tokens_out() -> None:
    plain, after = of("a list of words"), of("a list of words", masked=[2])
    frame, first, second, third, *rest = after.tokens
    moved = replace(after, tokens=(frame, first, second, replace(third, entropy=0.2), *rest))
    found = changes(plain, moved)
    assert [one.token.position for one in found] == [3, 1, 4]
    assert [round(one.change, 2) for one in found] == [-0.8, 0.5, 0.5]


def test_tokens_that_share_a_character_are_told_apart_in_a_table() -> None:
    found = tokens((0, 1), (2, 3), (2, 3))
    preview = replace(of("a"), tokens=tuple(found))
    assert named("a 😀", preview, found) == ["a", "😀 t1", "😀 t2"]


def test_the_rank_of_a_token_is_that_among_the_predictions_with_it_masked() -> None:
    first, second, *_ = of("a list").tokens[1:]
    assert rank(first) == "1"
    assert rank(second) == "2"
    assert rank(tokens((0, 1))[0]) == "> 0"


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.25, "0.250"), (0.0006, "0.001"), (0.000368, "0.0004"), (2e-9, "< 0.000001")],
)
def test_a_small_probability_is_not_zero(share: float, words: str) -> None:
    assert probability(share) == words


def test_a_change_has_its_sign() -> None:
    assert signed(0.5) == "+0.50"
    assert signed(-0.5) == "−0.50"


def test_a_preset_tells_how_its_probabilities_were_found() -> None:
    drawn, exact = of("a list", presets=["self-entropy-sample", "random"]).presets
    assert mask_rows.facts(drawn) == "1 token masked · rate 15 % · T = 3 · probabilities ± 0.014"
    assert mask_rows.facts(exact) == "1 token masked · rate 15 %"
    words = exact | {"rate": 0.2246, "unit": "word", "temperature": None, "method": "monte-carlo"}
    told = "1 token masked · rate 22.5 % · whole words · probabilities ± 0.000"
    assert mask_rows.facts(words) == told


def test_only_where_chance_decides_do_probabilities_have_colours() -> None:
    entry = of("a list", presets=["random"]).presets[0]
    assert mask_rows.is_sampled(entry)
    assert not mask_rows.is_sampled(entry | {"probabilities": [0.0, 1.0, 0.0, 0.0]})


def test_the_matrix_of_agreement_has_numbers_that_can_be_read_and_escapes_names() -> None:
    found = {
        "presets": ["<b>", "random"],
        "overlap": [[1.0, 0.25], [0.25, 1.0]],
        "chance": [[0.5, 0.15], [0.15, 0.5]],
    }
    html = _matrix("model <i>", found)
    assert html.count("0.25 <small>(0.15)</small>") == 2
    assert "0.50" not in html
    nothing = {"presets": ["a", "b"], "overlap": [[None] * 2] * 2, "chance": [[None] * 2] * 2}
    assert _matrix("model", nothing).count(">-<") == 4
    assert "<b>" not in html
    assert "model &lt;i&gt;" in html


def test_checkpoints_are_found_among_a_runs_files() -> None:
    paths = [
        "checkpoints/step-600/model.safetensors",
        "checkpoints/step-1200/model.safetensors",
        "checkpoints/step-1200/optimizer.safetensors",
        "checkpoints/step-9.tmp/model.safetensors",
        "model/model.safetensors",
    ]
    assert checkpoints(paths) == [1200, 600]
