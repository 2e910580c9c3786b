"""Receiving a corpus: what is stored, what is refused, and that a refusal leaves nothing behind."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import hashlib
import io
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.problems import ProblemError
from backend.store.ids import new_id
from backend.uploads import Upload, check_content, receive, receiving, remove_leftovers
from entromask.settings import settings
from tests.entromask.text.containers import pack

TEXT = "Some words about entropy.\n\nAnd a second document.\n"
LIMIT = 1_000_000
BOUNDARY = "frontier"


def form(
    content: bytes,
    filename: str = "corpus.txt",
    fields: dict[str, str] | None = None,
    *,
    file_field: str = "file",
) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (fields or {}).items()
    ]
    head = f'form-data; name="{file_field}"; filename="{filename}"'
    opening = f"--{BOUNDARY}\r\nContent-Disposition: {head}\r\n\r\n"
    return (opening.encode() + content + b"\r\n" + "".join(parts).encode()) + (
        f"--{BOUNDARY}--\r\n".encode()
    )


async def pieces(body: bytes, size: int = 60_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def upload(body: bytes, limit: int = LIMIT, *, piece: int = 60_000) -> Upload:
    """Receives and checks a form; the files stay only if all went well."""

    async def whole() -> Upload:
        with receiving(new_id("corpus")) as place:
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            received = await receive(pieces(body, piece), kind, None, place.folder, limit)
            await check_content(received, limit)
            place.keep()
            return received

    return asyncio.run(whole())


def stored() -> list[Path]:
    return [path for path in settings().corpora.rglob("*") if path.is_file()]


def refused(body: bytes, limit: int = LIMIT) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        upload(body, limit)
    assert stored() == []
    assert [path.name for path in settings().corpora.iterdir()] == [".receiving"]
    assert str(settings().corpora) not in caught.value.detail, "no path of the server"
    assert caught.value.hint
    return caught.value


def parquet(column: str = "text", rows: int = 3) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({column: [f"row number {i}" for i in range(rows)]}), sink)
    return sink.getvalue()


JSONL = b'{"text": "one two"}\n{"text": "three"}\n'


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("a.txt", TEXT.encode()),
        ("b.JSONL", JSONL),
        ("c.parquet", parquet()),
        ("d.json", b'[{"text": "one two"}, {"text": "half \\ud83d"}]'),
        ("e.csv", b'text\r\n"one, two"\r\n'),
        ("f.tsv", b"id\ttext\r1\tone two\r"),
    ],
)
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_every_format_is_stored_byte_for_byte(filename: str, content: bytes, packing: str) -> None:
    filename, content = filename + packing, pack(content, packing)
    received = upload(form(content, filename))
    assert stored() == [received.file]
    assert received.file.name == "corpus." + received.format == "corpus" + filename[1:].lower()
    assert received.file.read_bytes() == content
    assert received.size == len(content)
    assert received.sha256 == hashlib.sha256(content).hexdigest()
    assert received.name == filename


@pytest.mark.usefixtures("home")
def test_the_cuts_of_the_network_do_not_matter() -> None:
    body = form(TEXT.encode(), fields={"name": "Mine", "column": "body"})
    for piece in (1, 2, 7):
        received = upload(body, piece=piece)
        assert received.file.read_text() == TEXT
        assert (received.name, received.column) == ("Mine", "body")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "filename",
    ["../../evil.txt", "/etc/cron.d/evil.txt", "C:\\\\Users\\\\evil.txt", "..\\\\evil.txt"],
)
def test_a_clients_name_is_no_path(filename: str) -> None:
    received = upload(form(TEXT.encode(), filename))
    assert received.name == "evil.txt"
    assert stored() == [received.file]
    assert received.file.parent.parent == settings().corpora


@pytest.mark.usefixtures("home")
def test_a_shown_name_has_no_control_characters() -> None:
    assert upload(form(TEXT.encode(), "a\x1b[31m\u202eb\x00.txt")).name == "a[31mb.txt"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("content", "filename", "words"),
    [
        (b"", "a.txt", "is empty"),
        (gzip.compress(b"", mtime=0), "a.txt.gz", "holds no words"),
        (b" \n.,;\n\n...\n", "a.txt", "holds no words"),
        (b"words \x00 words", "a.txt", "NUL byte at offset 6"),
        (b"words\n" * 9000 + b"caf\xe9 au lait", "a.txt", "not UTF-8: byte 0xe9"),
        (TEXT.encode("utf-16"), "a.txt", "a.txt is not"),
        (gzip.compress(TEXT.encode(), mtime=0), "a.txt", "is a gzip file, not text"),
        (TEXT.encode(), "a.txt.gz", "is not a gzip file"),
        (gzip.compress(TEXT.encode() * 50, mtime=0)[:-9], "a.txt.gz", "not a whole gzip file"),
        (
            gzip.compress(gzip.compress(TEXT.encode(), mtime=0), mtime=0),
            "a.txt.gz",
            "is a gzip file, not text",
        ),
        (parquet(), "a.jsonl", "is a parquet file, not text"),
        (JSONL + b'{"text": "x"\n', "a.jsonl", "a.jsonl, line 3 is not JSON"),
        (JSONL + b"[1]\n", "a.jsonl", "line 3 holds an array, not an object"),
        (JSONL + b'{"text": 5}\n', "a.jsonl", "line 3: column 'text' holds a int"),
        (JSONL + b'{"body": "x"}\n', "a.jsonl", "line 3 has no column 'text'; it has: body"),
        (b'{"text": ' + b"[" * 200_000 + b"}", "a.jsonl", "line 1 is not JSON"),
        (parquet()[:-20], "a.parquet", "not a parquet file that can be read"),
        (b"PAR1" + b"x" * 100, "a.parquet", "not a parquet file that can be read"),
        (parquet("body"), "a.parquet", "has no column 'text'; it has: body"),
        (TEXT.encode(), "a.docx", "has the suffix '.docx'; allowed: .txt, .jsonl, .json, .csv"),
        (TEXT.encode(), "corpus", "has no suffix"),
        (b'text,id\n"one,1\ntwo,2\n', "a.csv", "a.csv, line 2: the quote that opens"),
        (b'[{"text": "x"}, ', "a.json", "a.json, line 1 is not JSON"),
        (pack(TEXT.encode() * 50, ".zst")[:-9], "a.txt.zst", "not a whole zstd file"),
        (TEXT.encode(), "a.txt.zst", "is not a zstd file"),
        (pack(TEXT.encode(), ".zst"), "a.txt.gz", "is a zstd file, not a gzip file"),
    ],
)
def test_what_is_no_corpus_is_refused_in_one_sentence(
    content: bytes, filename: str, words: str
) -> None:
    problem = refused(form(content, filename))
    assert problem.status_code == 422
    assert problem.code == "invalid_corpus"
    assert words in problem.detail
    assert problem.errors == [("/file", problem.detail)]


@pytest.mark.usefixtures("home")
def test_a_broken_byte_is_found_at_the_very_end_of_a_long_file() -> None:
    content = b"many words on a line\n" * 40_000 + b"\xff\n"
    assert "line 40,001" in refused(form(content)).detail


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"column": " "}, "/column"),
        ({"path": "/etc/passwd"}, "/path"),
    ],
)
def test_a_field_that_cannot_be_is_named(fields: dict[str, str], pointer: str) -> None:
    problem = refused(form(TEXT.encode(), fields=fields))
    assert (problem.status_code, problem.errors[0][0]) == (422, pointer)


@pytest.mark.usefixtures("home")
def test_a_form_that_is_cut_off_or_lacks_the_file_is_refused() -> None:
    assert "ends in the middle" in refused(form(TEXT.encode())[:-20]).detail
    assert refused(form(TEXT.encode(), file_field="files")).errors[0][0] == "/files"
    only_fields = form(b"")[form(b"").rindex(b"--" + BOUNDARY.encode()) :]
    assert refused(only_fields).errors == [("/file", "is required")]
    twice = form(TEXT.encode()).replace(f"--{BOUNDARY}--\r\n".encode(), b"") + form(b"x")
    assert "given twice" in refused(twice).detail
    assert refused(b"no form at all").status_code == 422


@pytest.mark.usefixtures("home")
def test_a_file_over_the_limit_is_refused_while_it_comes() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        yield form(b"")[: -len(f"\r\n--{BOUNDARY}--\r\n")]
        while True:
            read += 60_000
            yield b"words " * 10_000

    async def whole() -> None:
        with receiving("corpus_x") as place:
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            await receive(endless(), kind, None, place.folder, 3_000_000)

    with pytest.raises(ProblemError) as caught:
        asyncio.run(whole())
    assert caught.value.status_code == 413
    assert "3,000,000" in caught.value.detail
    assert read < 6_000_000
    assert stored() == []


@pytest.mark.usefixtures("home")
def test_a_length_over_the_limit_is_refused_unread() -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("read")
        yield b""

    async def whole() -> None:
        with receiving("corpus_x") as place:
            await receive(unread(), "multipart/form-data; boundary=b", 10**9, place.folder, LIMIT)

    with pytest.raises(ProblemError) as caught:
        asyncio.run(whole())
    assert caught.value.status_code == 413


def bomb(size: int) -> bytes:
    """Gzip of `size` zeros-free bytes, about a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"words and words " * 65536
    packed = b"".join(packer.compress(block) for _ in range(size // len(block)))
    return packed + packer.flush()


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_bomb_is_refused_before_it_has_unpacked() -> None:
    content = bomb(1_000_000_000)
    assert len(content) < 4_000_000
    problem = refused(form(content, "a.txt.gz"), 10_000_000)
    assert (problem.status_code, problem.code) == (422, "corpus_inflates")
    assert "10,000,000 bytes" in problem.detail
    # With room for it, its ratio gives it away.
    problem = refused(form(content, "a.txt.gz"), 10**12)
    assert problem.code == "corpus_inflates"
    assert "200 times" in problem.detail


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_bomb_of_parquet_is_refused() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["many words " * 100] * 200_000}), sink)
    assert len(sink.getvalue()) < 100_000
    assert refused(form(sink.getvalue(), "a.parquet"), 10**12).code == "corpus_inflates"


@pytest.mark.usefixtures("home")
def test_memory_stays_flat() -> None:
    line = b"a line of words that is repeated and repeated and repeated\n"

    async def large() -> AsyncIterator[bytes]:
        yield form(b"")[: -len(f"\r\n--{BOUNDARY}--\r\n")]
        for _ in range(1000):
            yield line * 1000
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    async def whole() -> int:
        with receiving("corpus_x") as place:
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            received = await receive(large(), kind, None, place.folder, 10**9)
            return received.size

    tracemalloc.start()
    assert asyncio.run(whole()) == len(line) * 1_000_000
    assert tracemalloc.get_traced_memory()[1] < 12_000_000
    tracemalloc.stop()


@pytest.mark.usefixtures("home")
def test_a_client_that_breaks_off_leaves_nothing() -> None:
    class GoneError(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        yield form(TEXT.encode() * 100_000)[:2_000_000]
        assert stored(), "it is written as it comes"
        raise GoneError

    async def whole() -> None:
        with receiving("corpus_x") as place:
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            await receive(broken(), kind, None, place.folder, 10**9)

    with pytest.raises(GoneError):
        asyncio.run(whole())
    assert stored() == []


@pytest.mark.usefixtures("home")
def test_what_a_crash_left_is_removed_and_nothing_else() -> None:
    def leave(corpus_id: str, marked: bool) -> None:
        (settings().corpora / corpus_id).mkdir(parents=True)
        (settings().corpora / corpus_id / "corpus.txt").write_text(TEXT)
        if marked:
            (settings().corpora / ".receiving").mkdir(exist_ok=True)
            (settings().corpora / ".receiving" / corpus_id).touch()

    for corpus_id, marked in (("crashed", True), ("alive", True), ("stored", True), ("old", False)):
        leave(corpus_id, marked)
    with (settings().corpora / ".receiving" / "alive").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_leftovers(lambda corpus_id: corpus_id == "stored") == ["crashed"]
    left = {path.parent.name for path in stored() if path.name == "corpus.txt"}
    assert left == {"alive", "stored", "old"}
    assert [path.name for path in (settings().corpora / ".receiving").iterdir()] == ["alive"]


def test_the_check_runs_without_anything_heavy(tmp_path: Path) -> None:
    import subprocess
    import sys

    file = tmp_path / "corpus.jsonl"
    file.write_bytes(JSONL)
    code = (
        "import sys; from backend.corpus_check import main; main();"
        "assert not {'torch', 'transformers', 'pyarrow', 'fastapi'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), "text", "1000"], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == {"error": None}
