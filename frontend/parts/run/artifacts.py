"""The files of a run, each one click away."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial

import streamlit as st

from entromask.client import Client
from entromask.resources import Artifact, Run
from frontend.parts.words import ago, size
from frontend.session import literal

# A download goes through the memory of the dashboard.
MOST_BYTES = 200_000_000
# Buttons in one folder; more is for the command line.
_MOST_FILES = 100
# Folders whose files are wanted most; the others are closed at first.
_OPEN = ("", "model")


def folders(files: Sequence[Artifact]) -> dict[str, list[Artifact]]:
    """The files by their folder, those that are wanted most first."""
    found: dict[str, list[Artifact]] = {}
    for file in files:
        found.setdefault(file.path.rpartition("/")[0], []).append(file)
    order = sorted(found, key=lambda name: (name not in _OPEN, name))
    return {name: found[name] for name in order}


def command(run: str, path: str) -> str:
    """What fetches a file, or a folder, on the command line."""
    return shlex.join(["entromask", "runs", "download", run, "--path", path])


def show_artifacts(api: Client, run: Run, files: Sequence[Artifact]) -> None:
    """The files by folder; a click downloads one."""
    if not files:
        st.info("No files yet. The first one comes when a worker takes the run.")
        return
    st.caption(
        f"{len(files)} files, {size(sum(file.size for file in files))}. A name downloads its file. "
        "All of them:"
    )
    st.code(shlex.join(["entromask", "runs", "download", run.id]), language="sh")
    for name, members in folders(files).items():
        total = size(sum(file.size for file in members))
        label = f"{literal(name or 'The run itself')}  ({len(members)} files, {total})"
        with st.expander(label, expanded=name in _OPEN):
            for file in members[:_MOST_FILES]:
                _file(api, run, file)
            if len(members) > _MOST_FILES:
                st.caption(f"{len(members) - _MOST_FILES} more; the command brings all of them.")
                st.code(command(run.id, name), language="sh")


def _file(api: Client, run: Run, file: Artifact) -> None:
    name = file.path.rpartition("/")[2]
    with st.container(horizontal=True, vertical_alignment="center"):
        if file.size <= MOST_BYTES:
            st.download_button(
                literal(name),
                # Fetched when it is asked for, not when the page is drawn.
                data=partial(api.read_artifact, run.id, file.path),
                file_name=name,
                key=f"file {file.path}",
                type="tertiary",
                on_click="ignore",
            )
            st.caption(f"{size(file.size)}, {ago(file.modified_at)}")
        else:
            st.markdown(f"{literal(name)}")
            st.caption(f"{size(file.size)}, {ago(file.modified_at)}; too large for a browser:")
            st.code(command(run.id, file.path), language="sh")
