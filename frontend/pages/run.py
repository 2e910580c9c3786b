"""One run, live: its state, curves, scores, log, events, spec, environment and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from entromask.client import ApiError, Client
from entromask.resources import OVER, Run
from frontend.parts.actions import ACTIONS, act, tell
from frontend.parts.known import events_of, known, version_of
from frontend.parts.run.artifacts import show_artifacts
from frontend.parts.run.entropy_map import show_entropy_map
from frontend.parts.run.result_tables import cost_rows, mask_rows, top_types, validation_rows
from frontend.parts.run.run_curves import KEYS, MAX_POINTS, show_curves
from frontend.parts.run.run_edit import edit
from frontend.parts.run.run_events import TOLD, marks_of, show_cells, show_events
from frontend.parts.run.run_head import show_facts, show_failure, show_log_end, show_state
from frontend.parts.run.score_table import scores_of
from frontend.parts.run.spec_diff import spec_page
from frontend.parts.tables import Cell, table
from frontend.parts.words import size
from frontend.routes import go, link
from frontend.session import client, guarded, literal

_EVERY = 2.0
_TABS = ("Overview", "Log", "Events", "Spec", "Environment", "Files")
_TAIL = 200


def page() -> None:
    """The run that the URL names, else the newest."""
    id_ = st.query_params.get("id") or None
    if id_ is None:
        newest = client().runs_page(limit=1).data
        if not newest:
            st.title("Run")
            st.info("There is no run yet. The first one takes a minute and needs no file.")
            link("Submit a run", "submit")
            return
        id_ = newest[0].id
        st.query_params["id"] = id_
    try:
        run = client().get_run(id_)
    except ApiError as error:
        if error.status != 404:
            raise
        st.title("Run")
        st.warning(f"There is no run {literal(id_)}. It was deleted, or the address is incomplete.")
        link("All runs", "runs")
        return
    live(run, head(run))


def head(run: Run) -> DeltaGenerator:
    """What does not move by itself: the name, what can be done, why it failed.

    Returns:
        The place under the name, for the state that moves.
    """
    st.title(literal(run.name), anchor=False)
    tell()
    place = st.container()
    if run.status == "failed":
        show_failure(run)
    actions(run)
    if run.status == "failed":
        show_log_end(client(), run)
    return place


def actions(run: Run) -> None:
    """What can be done with the run now, and where it leads."""
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        for verb, action in ACTIONS.items():
            if run.status in action.states:
                main = verb in ("resume", "retry")
                kind: Any = "primary" if main else "secondary"
                if st.button(action.label, key=verb, help=action.help, type=kind):
                    act(verb, [run], _away if verb == "delete" else None)
        if st.button("Clone", key="clone", help="a new run from its spec"):
            go("submit", clone=run.id)
        if st.button("Experiment", key="experiment", help="an experiment with its spec as base"):
            go("experiments", base=run.id)
        edit(run)
        if run.status == "succeeded":
            link("Look into its masks", "entropy", models=run.id)
        link("Compare with others", "compare", runs=run.id)
        if teacher := (run.spec.get("teacher") or {}).get("run"):
            link("Its teacher", "run", id=teacher)
            link(
                "Compare with its teacher", "compare", runs=f"{run.id},{teacher}", baseline=teacher
            )
        link("All seeds of this method", "runs", group=run.group_hash)


def _away() -> None:
    """A run that was deleted has no page any more."""
    if all(good for _, good in st.session_state.get("entromask_told", [])):
        go("runs")


def live(run: Run, place: DeltaGenerator) -> None:
    """What moves: the state and the open tab, again and again until the run is over."""
    going = run.status not in OVER
    given = [run]  # the first time, what the page has just read

    @st.fragment(run_every=_EVERY if going else None, key="run")
    def shown() -> None:
        with guarded():
            now = given.pop() if given else client().get_run(run.id) if going else run
            if _head_of(now) != _head_of(run):
                st.rerun()
            with place:
                show_state(client(), now)
                show_facts(now)
            tabs = st.tabs(_TABS, key="tab", bind="query-params")
            for name, tab in zip(_TABS, tabs, strict=True):
                if tab.open:
                    with tab:
                        _SHOW[name](client(), now)

    shown()


def _head_of(run: Run) -> tuple[object, ...]:
    """What the part of the page that does not move depends on."""
    return (run.status, run.attempt, run.name, run.notes, *run.tags)


def overview(api: Client, run: Run) -> None:
    """Warnings, scores, curves, and what was measured besides."""
    over = run.status in OVER
    results = _results(api, run)
    events = [] if results else events_of(api, run, TOLD)
    if run.warnings:
        st.markdown("#### What to know about these results")
        st.warning("\n".join(f"- {literal(warning)}" for warning in run.warnings))
    if results:
        show_scores(results)
    elif run.stage in ("evaluating", "reporting"):
        show_cells(run, events)
    history = known(
        f"metrics {run.id}",
        version_of(run),
        lambda: api.metrics(run.id, keys=KEYS, max_points=MAX_POINTS),
    )
    st.markdown("#### Curves")
    if any(series.points for series in history.series.values()):
        show_curves(history, marks_of(run, results, events), over)
        show_entropy_map(api, run)
    elif over:
        st.info("The run ended before it measured anything: there are no curves.")
    else:
        st.info("No points yet. The curves begin with the first steps of pretraining.")
    if results:
        show_measured(results)


def _results(api: Client, run: Run) -> Mapping[str, Any] | None:
    if run.status != "succeeded":
        return None
    return known(f"results {run.id}", version_of(run), lambda: api.results(run.id))


def show_scores(results: Mapping[str, Any]) -> None:
    """The table of tasks."""
    st.markdown("#### Scores")
    if not results.get("tasks"):
        st.info("The spec names no evaluation tasks, so there are no scores.")
        return
    scores = scores_of(results)
    st.caption(
        "Scores x 100: over the fine-tuning seeds, beside what the majority class and the same "
        "model without pretraining reach, then of each seed."
    )
    table(scores.head, scores.rows, numbers=scores.numbers)
    for name, task in results["tasks"].items():
        if parts := task.get("phenomena"):
            with st.expander(f"{literal(name)} by phenomenon"):
                rows = [[key, f"{100 * value:.1f}"] for key, value in parts.items()]
                table(["Phenomenon", "accuracy x 100"], rows, numbers=[1])


def show_measured(results: Mapping[str, Any]) -> None:
    """Validation, masks and cost."""
    parts = (
        ("Validation", "on the common random mask", validation_rows(results)),
        ("Masks", "of the strategy, over the whole run", mask_rows(results)),
        ("Cost", "of pretraining", cost_rows(results)),
    )
    for column, (title, caption, rows) in zip(st.columns(3, gap="medium"), parts, strict=True):
        with column:
            if rows:
                st.markdown(f"#### {title}")
                table([], rows, numbers=[1], caption=caption)
    if types := top_types(results):
        st.caption(literal(f"Most often masked, with their share of the masks: {types}"))


def log(api: Client, run: Run) -> None:
    """The end of the log, as it grows."""
    text = known(f"log {run.id}", version_of(run), lambda: api.logs(run.id, tail=_TAIL))
    if not text.strip():
        st.info("The log is empty. It begins when a worker takes the run.")
        return
    count = len(text.splitlines())
    st.caption(
        f"The last {count} lines. `entromask runs logs {run.id}` prints all of it."
        if count >= _TAIL
        else f"The whole log, {count} lines."
    )
    with st.container(height=520, autoscroll=True, key="log"):
        st.code(text.rstrip("\n"), language=None, wrap_lines=True)


def events(api: Client, run: Run) -> None:
    show_events(events_of(api, run))


def environment(api: Client, run: Run) -> None:
    """Where it ran, with what."""
    try:
        data = known(
            f"environment {run.id}",
            (run.attempt, run.stage),
            lambda: json.loads(api.read_artifact(run.id, "environment.json")),
        )
    except ApiError as error:
        if error.status != 404:
            raise
        st.info("Not known yet: a run writes down its environment when it begins.")
        return
    rows: list[list[str | Cell]] = []
    sections: list[list[str | Cell]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            sections.append([Cell(_title(key), section=True)])
            sections += [[_title(inner), _plain(inner, one)] for inner, one in value.items()]
        else:
            rows.append([_title(key), _plain(key, value)])
    table(["What", "Value"], [*rows, *sections], caption="The first worker's machine and packages.")


def _title(key: str) -> str:
    return key.replace("_", " ")


def _plain(key: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(key, one) for one in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(name, one)}" for name, one in value.items())
    if isinstance(value, int) and key.endswith("bytes"):
        return size(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def files(api: Client, run: Run) -> None:
    # While a run goes on its files come and go: as often as a stage or a checkpoint.
    step = run.progress.step if run.progress and run.progress.step else 0
    every = (run.spec.get("pretraining") or {}).get("checkpoint_every") or 500
    version = (run.status, run.attempt, run.stage, step // every)
    show_artifacts(api, run, known(f"files {run.id}", version, lambda: api.artifacts(run.id)))


_SHOW = dict(zip(_TABS, (overview, log, events, spec_page, environment, files), strict=True))

with guarded():
    page()
