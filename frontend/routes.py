"""Where the pages are, and the ways from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlencode

import streamlit as st


@dataclass(frozen=True)
class Route:
    """A page: its script beside app.py, its path in the URL, its title."""

    script: str
    path: str
    title: str
    hidden: bool = False


# In the order of the menu.
ROUTES: dict[str, Route] = {
    "runs": Route("pages/runs.py", "runs", "Runs"),
    "experiments": Route("pages/experiments.py", "experiments", "Experiments"),
    "submit": Route("pages/submit.py", "submit", "Submit"),
    "compare": Route("pages/compare.py", "compare", "Compare"),
    "entropy": Route("pages/entropy.py", "entropy", "Entropy"),
    "system": Route("pages/system.py", "system", "System"),
    "run": Route("pages/run.py", "run", "Run", hidden=True),
    "experiment": Route("pages/experiment.py", "experiment", "Experiment", hidden=True),
}


def go(page: str, **query: str) -> NoReturn:
    """Shows another page, for example `go("run", id=run.id)`."""
    st.switch_page(ROUTES[page].script, query_params=query)


def link(label: str, page: str, **query: str) -> None:
    """A link to another page."""
    st.page_link(ROUTES[page].script, label=label, query_params=query)


def url(page: str, **query: str) -> str:
    """The address of a page, relative to the dashboard's own."""
    path = ROUTES[page].path
    return f"{path}?{urlencode(query)}" if query else path
