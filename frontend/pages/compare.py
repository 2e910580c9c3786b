"""Runs or methods side by side; all that is chosen stands in the URL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import streamlit as st

from entromask.client import Client
from entromask.resources import OVER, Comparison, Page, Run
from frontend.parts.charts import curves, draw, png
from frontend.parts.compare.compare_choice import asked, baseline, choose_baseline, chosen, put
from frontend.parts.compare.comparison_table import show_differences, show_table
from frontend.parts.compare.methods import KEYS, OVERS, QUANTITIES, Method, lines_of, methods_of
from frontend.parts.known import known, version_of
from frontend.routes import link
from frontend.session import client, guarded, literal

_EVERY = 5.0
_LATEST = 100
# Of each line; the chart is as wide as the page.
_POINTS = 400
# The start of a comparison, and as many models as can be looked into at once.
_FEW = 4
_Kind = Literal["csv", "md", "latex"]
_FILES: tuple[tuple[str, _Kind, str, str, str], ...] = (
    ("CSV", "csv", "comparison.csv", "text/csv", "raw numbers, a line for each run and quantity"),
    ("Markdown", "md", "comparison.md", "text/markdown", "the table as it is shown"),
    ("LaTeX", "latex", "comparison.tex", "application/x-latex", "the table as it is shown"),
)


def page() -> None:
    """What is chosen, its curves, its table."""
    latest = client().runs_page(status="succeeded", limit=_LATEST)
    runs = chosen(latest)
    if not runs:
        empty(latest)
        return
    groups = asked("groups")
    done = [run for run in runs if run.status == "succeeded"]
    base = baseline(methods_of(runs, {}))
    wanted = _wanted(done, groups)
    found = compared(done, wanted, base) if done else None
    labels = {column.group_hash: column.label for column in found.columns} if found else {}
    methods = methods_of(runs, labels)
    show_curves(methods)
    rest = [run for run in runs if run.status != "succeeded"]
    if rest:
        names = ", ".join(f"{literal(run.name)} ({run.status})" for run in rest)
        st.info(f"In the curves alone, for the table takes runs that have succeeded: {names}.")
    if found is not None:
        st.markdown("#### Results")
        with st.container(horizontal=True, vertical_alignment="bottom", key="results"):
            choose_baseline(methods)
            downloads(wanted, base)
            models = [method.done[0].id for method in methods if method.done][:_FEW]
            link("Look into their masks", "entropy", models=",".join(models))
        show_table(found)
        show_differences(found)
    st.caption("The address of this page holds all that is chosen: whoever opens it sees the same.")


def _wanted(done: Sequence[Run], groups: Sequence[str]) -> dict[str, Any]:
    """What a comparison is asked for by: only what has succeeded."""
    if groups:
        there = {run.group_hash for run in done}
        return {"groups": [group for group in groups if group in there]}
    return {"runs": [run.id for run in done]}


def compared(done: Sequence[Run], wanted: dict[str, Any], base: str | None) -> Comparison:
    """The table; the same runs under the same names are not compared twice."""
    version = (base, str(wanted), *((run.id, run.name, version_of(run)) for run in done))

    def read() -> Comparison:
        return client().compare(**wanted, baseline=base, format="json")

    return known("comparison", version, read)


def show_curves(methods: list[Method]) -> None:
    """The curves of all that is chosen; they move while a run does."""
    st.markdown("#### Curves")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quantity = st.selectbox(
            "Curve", list(QUANTITIES), key="curve", bind="query-params", width=280
        )
        over = st.segmented_control(
            "Over", list(OVERS), key="over", default="steps", bind="query-params", required=True
        )
    going = any(run.status not in OVER for method in methods for run in method.runs)
    given = [methods]

    @st.fragment(run_every=_EVERY if going else None, key="compare_curves")
    def shown() -> None:
        with guarded():
            now = given.pop() if given else _again(methods)
            _draw(now, quantity, over or "steps")

    shown()


def _again(methods: list[Method]) -> list[Method]:
    """The methods with those runs read anew that were not over; a run's end shows the page anew."""
    fresh = []
    for method in methods:
        runs = tuple(run if run.status in OVER else client().get_run(run.id) for run in method.runs)
        if [run.status for run in runs] != [run.status for run in method.runs]:
            st.rerun()
        fresh.append(Method(method.label, method.group, runs))
    return fresh


def _draw(methods: list[Method], curve: str, over: str) -> None:
    quantity, axis = QUANTITIES[curve], OVERS[over]
    histories = {
        run.id: known(
            f"curves {run.id}",
            version_of(run),
            partial(client().metrics, run.id, keys=KEYS, max_points=_POINTS),
        )
        for method in methods
        for run in method.runs
    }
    lines, bands = lines_of(methods, histories, quantity, axis)
    if not lines:
        st.info(f"None of these runs has points of this yet: {quantity.title.lower()}.")
        return
    chart = curves(
        lines, title=quantity.title, x=axis.title, y=quantity.unit, bands=bands, height=400
    )
    names = ", ".join(line.label for line in lines)
    draw(chart, "comparison", f"{quantity.title} ({quantity.unit}) over {axis.title}: {names}")
    if bands:
        st.caption(
            "A line of several seeds is their mean, the band reaches from lowest to highest."
        )
    if axis.scoring is not None:
        st.caption(
            "Every pass is counted: a run whose teacher's scores or predictions are stored starts "
            "at their cost, also where an earlier run had computed them. The common validation "
            "takes time and is in no count of FLOPs."
        )
    drawn = {line.label for line in lines}
    without = [m.label for m in methods if not any(name.startswith(m.label) for name in drawn)]
    if without:
        st.caption(literal(f"No points of {', '.join(without)}."))
    st.download_button(
        "Curves as PNG",
        data=partial(png, chart),
        file_name="curves.png",
        mime="image/png",
        key="png",
        on_click="ignore",
    )


def downloads(wanted: dict[str, Any], base: str | None) -> None:
    """The table as files; made when they are asked for."""
    api = client()
    for label, kind, name, mime, help_ in _FILES:
        st.download_button(
            label,
            # CSV holds numbers, not differences.
            data=partial(_file, api, wanted, None if kind == "csv" else base, kind),
            file_name=name,
            mime=mime,
            help=help_,
            key=f"as {kind}",
            on_click="ignore",
        )


def _file(api: Client, wanted: dict[str, Any], base: str | None, kind: _Kind) -> str:
    return api.compare(**wanted, baseline=base, format=kind)


def empty(latest: Page[Run]) -> None:
    """What to do where nothing is chosen."""
    if not latest.data:
        st.info(
            "Nothing to compare yet: no run has succeeded. A comparison takes two, one is a start."
        )
        link("Submit a run", "submit")
        return
    newest: dict[str, Run] = {}
    for run in latest.data:
        newest.setdefault(run.group_hash, run)
    some = [run.id for run in list(newest.values())[:_FEW]]
    st.info("Choose two or more runs that have succeeded; they may be seeds of one method.")
    if st.button(
        f"Compare the newest of {len(some)} methods" if len(some) > 1 else "Show it alone"
    ):
        put("runs", some)
        st.query_params.pop("groups", None)
        st.rerun()


st.title("Compare")
with guarded():
    page()
