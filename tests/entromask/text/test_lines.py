"""Lines of any ends: at every border between blocks, in bounded memory, with true numbers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from entromask.errors import InputError
from entromask.text import csv_records, json_values, lines
from entromask.text.csv_records import Record
from entromask.text.csv_records import csv_records as records_of
from entromask.text.json_values import json_values as values_of
from entromask.text.lines import Line, text_lines

FILE = Path("/data/a.txt")


class Trickle(io.BytesIO):
    """Gives at most `size` bytes at a time, as a slow disk or an unpacker may."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self.size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.size)


def numbered(text: str) -> list[Line]:
    """The lines by a regular expression over the whole text."""
    parts = re.findall(r"([^\r\n]*)(\r\n|\r|\n|$)", text)
    if parts and parts[-1] == ("", ""):
        parts.pop()
    return [Line(number, line, end) for number, (line, end) in enumerate(parts, 1)]


TEXTS = [
    "",
    "one",
    "one\r\ntwo\rthree\nfour",
    "\r\r\n\n\r\n\r",
    "東京\r\nहिन्दी\r\r\n😀\n",
    "a\u2028b\x85c\x0bd\x0ce\x1cf\r\ng",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_are_the_same_wherever_blocks_end(text: str, size: int, mark: bytes) -> None:
    stream = Trickle(mark + text.encode(), size)
    assert list(text_lines(FILE, stream)) == numbered(text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_block_may_end_between_cr_and_lf(end: str) -> None:
    for length in range(lines._BLOCK - 3, lines._BLOCK + 3):
        text = "x" * length + end + "y" + end
        assert list(text_lines(FILE, io.BytesIO(text.encode()))) == numbered(text)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_json_values_are_the_same_wherever_blocks_end(size: int) -> None:
    content = '[{"a": "東 \\" ]"},\r\n 12,\n\n -1.5e3, "x\\ud83d\\ude00",\r null, [true]]'.encode()
    assert list(values_of(FILE, Trickle(content, size))) == [
        (1, {"a": '東 " ]'}),
        (2, 12),
        (4, -1500.0),
        (4, "x😀"),
        (5, None),
        (5, [True]),
    ]
    joined = b'{"a": 1}{"a": 2}\n{"a":\n3} 4'
    assert list(values_of(FILE, Trickle(joined, size))) == [
        (1, {"a": 1}),
        (1, {"a": 2}),
        (2, {"a": 3}),
        (3, 4),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"a": 1}, {"a": 2]', "line 1 is not JSON"),
        (b"[1,\n2,\n]", "line 3 is not JSON"),
        (b"[1\n2]", "line 2 is not JSON: an array goes on with a comma"),
        (b"[1]\n\n[2]", "line 3 is not JSON: text stands behind the end"),
        (b"[1, 2", "line 1 is not JSON"),
        (b'["a",\n"\xff"]', "is not UTF-8: byte 0xff (line 2)"),
        (b"[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_what_is_not_json_is_named_with_its_line(content: bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        list(values_of(FILE, io.BytesIO(content)))
    assert words in caught.value.message
    assert str(FILE) in caught.value.message


def test_values_that_are_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "LONGEST_ROW", 100_000)
    monkeypatch.setattr(csv_records, "LONGEST_ROW", 100_000)
    monkeypatch.setattr(lines, "LONGEST_ROW", 100_000)
    with pytest.raises(InputError, match="line 2 is not JSON: a value of more than 100,000"):
        list(values_of(FILE, io.BytesIO(b'[1,\n"' + b"x" * 1_000_000)))
    with pytest.raises(InputError, match="line 2 is longer than 100,000 bytes"):
        list(text_lines(FILE, io.BytesIO(b"a\n" + b"x" * 1_000_000)))
    with pytest.raises(InputError, match=r"line 2: the quote .* is never closed within 100,000"):
        list(records_of(FILE, text_lines(FILE, io.BytesIO(b'a\n"b\n' + b"x\n" * 500_000))))


def records(text: str) -> list[Record]:
    return list(records_of(FILE, text_lines(FILE, io.BytesIO(text.encode()))))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a,b\n1,2\n", [Record(1, ["a", "b"]), Record(2, ["1", "2"])]),
        ('a\r\r\n\n"b"\r', [Record(1, ["a"]), Record(4, ["b"])]),
        ('"a ""b"", c",5" disk,""\n', [Record(1, ['a "b", c', '5" disk', ""])]),
        ('"a\r\nb\rc","d\n"\nx,y', [Record(1, ["a\r\nb\rc", "d\n"]), Record(5, ["x", "y"])]),
        (',"",\n', [Record(1, ["", "", ""])]),
        ('"""",""""""\n', [Record(1, ['"', '""'])]),
    ],
)
def test_csv_records_are_those_of_rfc_4180(text: str, read: list[Record]) -> None:
    assert records(text) == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a,b\n1,"x\n2,y\n', "line 2: the quote that opens a field there is never closed"),
        ('a\n"x" y\n', "line 2 has text behind the closing quote of a field:"),
        ('a\n"x\ny" z\n', "line 3 has text behind the closing quote of a field that opens in"),
        ('a\n1\n"\n', "line 3: the quote"),
        # The next quote in the file closes the one that was forgotten.
        ('a,b\n"x,1\n"y",2\n', "line 3 has text behind the closing quote of a field that opens in"),
    ],
)
def test_a_wrong_quote_is_named_with_its_line(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        records(text)
    assert words in caught.value.message
    assert str(FILE) in caught.value.message


@pytest.mark.parametrize(("breaks", "long"), [(19, 0), (20, 3), (300, 3)])
def test_a_field_over_more_than_20_lines_is_noted_with_its_first_line(
    breaks: int, long: int
) -> None:
    text = 'a,b\n1,2\n3,"x' + "\n" * breaks + 'y"\n4,5\n'
    assert [record.long_field for record in records(text)] == [0, 0, long, 0]
