"""The form that changes a run's name, tags and notes."""

from __future__ import annotations

import streamlit as st

from entromask.errors import EntromaskError
from entromask.resources import Run
from frontend.session import client, show


def edit(run: Run) -> None:
    """A button that opens the form; it sends what was changed and nothing else."""
    # What somebody else changed meanwhile is in a new form, not under the old words.
    version = hash((run.id, run.name, run.notes, *run.tags))
    with st.popover("Edit", help="its name, tags and notes", key=f"edit {version}"):
        with st.form(f"form {version}", border=False, width=420):
            name = st.text_input("Name", run.name, max_chars=200, key=f"name {version}")
            tags = st.multiselect(
                "Tags",
                run.tags,
                default=run.tags,
                accept_new_options=True,
                placeholder="type a tag and press Enter",
                key=f"tags {version}",
            )
            notes = st.text_area(
                "Notes", run.notes, max_chars=20_000, height=140, key=f"notes {version}"
            )
            sent = st.form_submit_button("Save", type="primary")
        if not sent:
            return
        name, tags = name.strip(), [tag.strip() for tag in tags if tag.strip()]
        if not name:
            st.error("A run needs a name.")
            return
        try:
            client().update_run(
                run.id,
                name=name if name != run.name else None,
                tags=tags if tags != run.tags else None,
                notes=notes if notes != run.notes else None,
            )
        except EntromaskError as error:
            show(error)
            return
        st.rerun()
