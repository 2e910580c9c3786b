"""Documents are bounded and belong to one split for ever."""

from __future__ import annotations

import pytest

from entromask.text.documents import HELD_OUT_OF, LONGEST, Text, bounded, divided, held_out


def test_one_document_in_twenty_is_held_out() -> None:
    numbers = [number for number in range(20_000) if held_out(number)]
    assert len(numbers) == 1000
    assert [number // HELD_OUT_OF for number in numbers] == list(range(1000)), "one of each block"
    assert len({number % HELD_OUT_OF for number in numbers}) == HELD_OUT_OF, "at any place of it"


@pytest.mark.parametrize("count", [2, 3, 19, 20, 21, 39, 40])
def test_at_least_one_is_held_out_and_never_all(count: int) -> None:
    assert 1 <= sum(held_out(number) for number in range(count)) < count


def test_a_long_text_is_cut_at_line_ends_and_nothing_is_lost() -> None:
    lines = [f"line {number} of a long text" for number in range(10_000)]
    parts = list(bounded("\n".join(lines)))
    assert len(parts) > 1
    assert max(map(len, parts)) <= LONGEST
    assert [line for part in parts for line in part.split("\n")] == lines


def test_a_long_line_is_cut_at_white_space() -> None:
    words = [f"word{number}" for number in range(50)]
    parts = list(bounded(" ".join(words), longest=30))
    assert max(map(len, parts)) <= 30
    assert [word for part in parts for word in part.split()] == words


def test_a_word_without_end_is_cut_anywhere() -> None:
    assert list(bounded("x" * 25, longest=10)) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_blank_text_is_no_document() -> None:
    assert list(bounded(" \n\t \n")) == []


def test_an_only_document_is_divided_so_that_a_part_can_be_held_out() -> None:
    lines = [f"this is line {number}" for number in range(100)]
    parts = list(divided([Text("\n".join(lines), 7)]))
    assert 15 <= len(parts) <= 25
    assert [line for part in parts for line in part.text.split("\n")] == lines
    assert {part.position for part in parts} == {7}


def test_a_long_document_and_its_short_rest_are_divided_anew() -> None:
    long, rest = "word " * 4000, "a short rest"
    parts = list(divided([Text(long, 1), Text(rest, 2)]))
    held = sum(len(part.text) for number, part in enumerate(parts) if held_out(number))
    assert 0.02 < held / sum(len(part.text) for part in parts) < 0.1


@pytest.mark.parametrize("count", [2, 5, 19, 20, 60])
def test_documents_of_like_length_stay_whole(count: int) -> None:
    documents = [Text(f"document number {number:03}", number) for number in range(count)]
    assert list(divided(documents)) == documents
