"""Writes texts in every format, packing and layout that a corpus may have, with other libraries."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PACKINGS = ("", ".gz", ".zst")
LINE_ENDS = ("\n", "\r\n", "\r")


def unicode(text: str) -> str:
    """What a text is once halves of surrogate pairs are replaced; by way of UTF-16."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def table(suffix: str, rows: Sequence[dict[str, object]], end: str = "\n") -> bytes:
    """The content of a file; .parquet holds what is Unicode of a text, as pyarrow takes no other.

    A .json file is an array if it has an even number of rows, else one object after the other.
    """
    names = list(rows[0]) if rows else ["text"]
    if suffix == ".parquet":
        columns = {
            name: [unicode(v) if isinstance(v := row[name], str) else v for row in rows]
            for name in names
        }
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        return buffer.getvalue()
    if suffix in (".csv", ".tsv"):
        lines = io.StringIO(newline="")
        if suffix == ".csv":
            writer = csv.writer(lines, quoting=csv.QUOTE_ALL, lineterminator=end)
            writer.writerows([names, *([row[name] for name in names] for row in rows)])
        else:
            for fields in [names, *([str(row[name]) for name in names] for row in rows)]:
                lines.write("\t".join(fields) + end)
        return lines.getvalue().encode("utf-8", "surrogatepass")
    if suffix == ".json" and len(rows) % 2 == 0:
        return json.dumps(rows, indent=2).replace("\n", end).encode()
    # Characters are escaped, or stand as they are.
    lines = [json.dumps(row, ensure_ascii=end != "\r") + end for row in rows]
    return "".join(lines).encode("utf-8", "surrogatepass")


def pack(content: bytes, packing: str, members: int = 1) -> bytes:
    """The content packed, in so many gzip members or zstd frames one after the other."""
    size = -(-len(content) // members) or 1
    parts = [content[start : start + size] for start in range(0, max(1, len(content)), size)]
    if packing == ".gz":
        return b"".join(gzip.compress(part, mtime=0) for part in parts)
    if packing == ".zst":
        return b"".join(_zstd(part) for part in parts)
    return content


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def save_to_disk(folder: Path, parts: Sequence[Sequence[str]]) -> Path:
    """A folder as `datasets` writes one, with one .arrow file a part."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05}-of-{len(parts):05}.arrow" for number in range(len(parts))]
    for name, texts in zip(names, parts, strict=True):
        rows = pa.table({"text": pa.array([unicode(text) for text in texts], pa.string())})
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as w:
            w.write_table(rows)
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder
