"""All runs, live: found by filters that stand in the URL, told what to do."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from entromask.resources import OVER, Page, Run, RunStatus
from frontend.parts.actions import ACTIONS, act, tell
from frontend.parts.run_table import run_table
from frontend.routes import go, link
from frontend.session import client, guarded, literal

_PAGE = 50
_EVERY = 2.0
# A list in which nothing moves is looked at less often: runs may come from elsewhere.
_EVERY_QUIET = 10.0
_STATUSES = ("any", *get_args(RunStatus))
_PLACES = "places"  # where the pages before this one begin


def filters() -> dict[str, str | None]:
    """The filters, in the URL and on the page."""
    strategies = _strategies()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search",
            key="q",
            placeholder="words of name, notes, id or strategy",
            live="300ms",
            bind="query-params",
            width=300,
            on_change=_first_page,
        )
        status = st.selectbox(
            "Status",
            _STATUSES,
            key="status",
            bind="query-params",
            width=150,
            on_change=_first_page,
        )
        strategy = st.selectbox(
            "Strategy",
            ("any", *strategies),
            key="strategy",
            bind="query-params",
            width=250,
            on_change=_first_page,
        )
        tag = st.text_input("Tag", key="tag", bind="query-params", width=150, on_change=_first_page)
    return {
        "q": words or None,
        "status": None if status == "any" else status,
        "strategy": None if strategy == "any" else strategy,
        "tag": tag or None,
        # Where other pages lead to: no field of their own.
        "group": st.query_params.get("group"),
        "experiment": st.query_params.get("experiment"),
    }


def _strategies() -> list[str]:
    """The names of the presets, asked for once in a session."""
    if "strategy_names" not in st.session_state:
        st.session_state["strategy_names"] = [one.name for one in client().strategies()]
    names: list[str] = st.session_state["strategy_names"]
    return names


def _first_page() -> None:
    st.query_params.pop("after", None)
    st.session_state.pop(_PLACES, None)


def narrowed(found: dict[str, Any]) -> None:
    """Says by what the list is narrowed that no field shows, and the way out."""
    words = {"group": "the seeds of one method", "experiment": "the runs of one experiment"}
    for key, what in words.items():
        if found[key] is None:
            continue
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Only {what} ({literal(found[key][:12])}).", width="content")
            if st.button("Show all runs", key=f"without_{key}"):
                st.query_params.pop(key, None)
                _first_page()
                st.rerun()


def live(found: dict[str, Any]) -> None:
    """The table, its actions and its pages; it shows itself again and again."""
    given = [_page(found)]  # the first time, what the page has just read
    moving = _moves(given[0])

    @st.fragment(run_every=_EVERY if moving else _EVERY_QUIET, key="runs")
    def shown() -> None:
        with guarded():
            page = given.pop() if given else _page(found)
            if _moves(page) != moving:
                st.rerun()  # to be looked at more often, or less
            if page.data:
                _finished(page.data, found)
                above = st.container()
                selected = run_table(page.data, key="run_table")
                with above:
                    actions(selected)
                pages(page)
            else:
                empty(any(found.values()))

    shown()


def _page(found: dict[str, Any]) -> Page[Run]:
    return client().runs_page(**found, limit=_PAGE, after=st.query_params.get("after"))


def _moves(page: Page[Run]) -> bool:
    return any(run.status not in OVER for run in page.data)


def _finished(runs: list[Run], found: dict[str, Any]) -> None:
    """Where the runs of a filter are over, the next thing to do is to compare them."""
    done = [run for run in runs if run.status == "succeeded"]
    if not any(found.values()) or len(done) < 2 or any(run.status not in OVER for run in runs):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{len(done)} of these {len(runs)} runs have succeeded.")
        if st.button("Compare them", key="compare_found"):
            go("compare", runs=",".join(run.id for run in done))


def actions(runs: list[Run]) -> None:
    """What can be done with the selected runs; what none of them takes is grey."""
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        for verb in ("cancel", "resume", "retry", "delete"):
            action = ACTIONS[verb]
            able = [run for run in runs if run.status in action.states]
            if st.button(action.label, key=verb, help=action.help, disabled=not able):
                act(verb, able)
        if st.button("Clone", key="clone", disabled=len(runs) != 1, help="a new run from its spec"):
            go("submit", clone=runs[0].id)
        done = [run for run in runs if run.status == "succeeded"]
        if st.button(
            "Compare", key="compare", disabled=not done, help="side by side; those with results"
        ):
            go("compare", runs=",".join(run.id for run in done))
        st.caption(f"{len(runs)} selected" if runs else "Select runs to act on them.")


def pages(page: Page[Run]) -> None:
    """On to the older runs, and back."""
    places: list[str] = st.session_state.setdefault(_PLACES, [])
    after = st.query_params.get("after")
    if after is None and not page.has_more:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Newest", key="newest", disabled=after is None):
            _first_page()
            st.rerun()
        if st.button("Newer", key="newer", disabled=after is None):
            before = places.pop() if places else ""
            st.query_params.pop("after", None)
            if before:
                st.query_params["after"] = before
            st.rerun()
        if st.button("Older", key="older", disabled=not page.has_more) and page.next:
            places.append(after or "")
            st.query_params["after"] = page.next
            st.rerun()
        st.caption(f"{len(page.data)} runs, newest first")


def empty(filtered: bool) -> None:
    """What to do where there is no run."""
    if filtered:
        st.info("No run fits these filters. Clear a filter to see more.")
        return
    st.info("No runs yet. The first one takes a minute and needs no file and no network.")
    link("Submit a run", "submit")
    st.code("entromask submit examples/quick.yaml --follow", language="sh")


st.title("Runs")
tell()
with guarded():
    chosen = filters()
    narrowed(chosen)
    live(chosen)
