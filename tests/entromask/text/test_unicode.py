"""Text that is not Unicode: what is replaced, what is joined, and how it is counted."""

from __future__ import annotations

import pytest

from entromask.text.unicode import replace_surrogates


@pytest.mark.parametrize(
    ("text", "read", "count"),
    [
        ("", "", 0),
        ("plain", "plain", 0),
        ("東京 हिन्दी ☃ 😀 \N{REPLACEMENT CHARACTER}", "東京 हिन्दी ☃ 😀 \ufffd", 0),
        ("half \ud83d", "half \ufffd", 1),
        ("\ude00 half", "\ufffd half", 1),
        ("\ud83d\ude00", "😀", 0),
        ("\ude00\ud83d", "\ufffd\ufffd", 2),
        ("\ud83d\ud83d\ude00", "\ufffd😀", 1),
        ("a\udfffb\ud800c", "a\ufffdb\ufffdc", 2),
    ],
)
def test_halves_are_replaced_and_counted_and_pairs_are_joined(
    text: str, read: str, count: int
) -> None:
    assert replace_surrogates(text) == (read, count)
    replace_surrogates(text)[0].encode("utf-8")
