"""A box for a corpus file: what is put into it goes to the service, and into the spec."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from entromask.errors import EntromaskError
from frontend.parts.submit.catalogue import forget
from frontend.parts.submit.draft import draft
from frontend.session import client, show

_FORMATS = ("txt", "jsonl", "json", "csv", "tsv", "parquet", "gz", "zst")
# Each upload that succeeded empties the box: by another key.
_COUNT, _FAILED = "corpus_uploads", "corpus_upload_failed"


def safe_name(name: str) -> str:
    """A file name from another machine as one that leads nowhere else on this one."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", re.split(r"[/\\]", name)[-1]).lstrip(".")
    return kept[-100:] or "corpus.txt"


def upload_box() -> None:
    count = st.session_state.get(_COUNT, 0)
    file = st.file_uploader(
        "Upload a corpus",
        type=list(_FORMATS),
        key=f"corpus_upload.{count}",
        help="a .txt, .jsonl, .json, .csv, .tsv or .parquet file, also .gz or .zst, in UTF-8; all "
        "of it is checked before it is stored",
    )
    if file is None:
        return
    failed: tuple[str, EntromaskError] | None = st.session_state.get(_FAILED)
    if failed is not None and failed[0] == file.file_id:
        show(failed[1])
        if not st.button("Try again", key="corpus_upload_again"):
            return
    try:
        with st.spinner("Uploading and checking the corpus"):
            corpus = _send(file)
    except EntromaskError as error:
        st.session_state[_FAILED] = (file.file_id, error)
        st.rerun()
    st.session_state[_COUNT] = count + 1
    draft().set(("corpus",), {"source": "upload", "id": corpus.id})
    forget()
    st.rerun()


def _send(file: Any) -> Any:
    with tempfile.TemporaryDirectory(prefix="entromask-upload-") as folder:
        path = Path(folder) / safe_name(file.name)
        path.write_bytes(file.getbuffer())
        return client().upload_corpus(path, name=file.name[:200])
