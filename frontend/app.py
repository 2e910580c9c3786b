"""The dashboard's frame: its pages and its style. `python -m frontend` runs it."""

from pathlib import Path

import streamlit as st

from frontend.routes import ROUTES, go


def start() -> None:
    """The bare address leads to the runs: the page of a menu's entry has an address of its own."""
    go("runs")


st.set_page_config(page_title="Entromask", page_icon="🎭", layout="wide")
st.html(Path(__file__).with_name("style.css"))
st.navigation(
    [
        st.Page(start, title="Entromask", default=True, visibility="hidden"),
        *(
            st.Page(
                route.script,
                title=route.title,
                url_path=route.path,
                visibility="hidden" if route.hidden else "visible",
            )
            for route in ROUTES.values()
        ),
    ],
    position="top",
).run()
