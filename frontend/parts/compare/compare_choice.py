"""What is compared: fields whose values stand in the URL, which is the only place they stand in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from entromask.client import ApiError
from entromask.resources import OVER, Page, Run
from frontend.parts.compare.methods import Method, methods_of
from frontend.parts.value_fields import multiselect_field, select_field, switch_field
from frontend.session import client, literal

_RUNS, _GROUPS = "single runs", "methods, with all their seeds"


def asked(name: str) -> list[str]:
    """The ids in a parameter of the URL, each once."""
    given = st.query_params.get(name) or ""
    return list(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))


def put(name: str, values: Sequence[str]) -> None:
    """Writes a parameter of the URL."""
    if values:
        st.query_params[name] = ",".join(values)
    else:
        st.query_params.pop(name, None)


def chosen(latest: Page[Run]) -> list[Run]:
    """The fields that choose runs or groups; the runs that are chosen."""
    by = _GROUPS if "groups" in st.query_params else _RUNS
    switch_field("by", "Compare", (_RUNS, _GROUPS), by, partial(_switch, latest))
    if "groups" in st.query_params:
        return _groups(latest)
    found = {run.id: run for run in latest.data}
    lost = []
    for id_ in asked("runs"):
        try:
            found[id_] = _run(id_, found)
        except ApiError as error:
            if error.status != 404:
                raise
            lost.append(id_)
    ids = [id_ for id_ in asked("runs") if id_ in found]
    _choose("runs", "Runs", ids, list(found), lambda id_: _words(found[id_]))
    for id_ in lost:
        st.warning(f"There is no run {literal(id_)}; it is left out.")
    return [found[id_] for id_ in ids]


def _groups(latest: Page[Run]) -> list[Run]:
    known_groups: dict[str, list[Run]] = {}
    for run in latest.data:
        known_groups.setdefault(run.group_hash, []).append(run)
    wanted, lost = asked("groups"), []
    for group in wanted:
        # All of its seeds, not only those among the latest; and those that go on.
        known_groups[group] = list(client().list_runs(group=group))
        if not known_groups[group]:
            lost.append(group)
    groups = [group for group in wanted if known_groups[group]]
    options = [group for group, members in known_groups.items() if members]

    def words(group: str) -> str:
        members = known_groups[group]
        [method] = methods_of(members, {})
        seeds = f"{len(members)} seed{'s' if len(members) > 1 else ''}"
        return " · ".join([method.label, *_strategy(members[0], method.label), seeds, group[:6]])

    _choose("groups", "Methods", groups, options, words)
    for group in lost:
        st.warning(f"No run has the group hash {literal(group[:12])}…; it is left out.")
    return [run for group in groups for run in reversed(known_groups[group])]


def _choose(
    name: str, label: str, values: list[str], options: list[str], words: Callable[[str], str]
) -> None:
    """A field whose value is a parameter of the URL."""
    multiselect_field(
        f"chosen_{name}",
        label,
        options,
        values,
        lambda chosen: put(name, chosen),
        words=words,
        placeholder="type to search the latest that have succeeded",
        select_all=False,
    )


def _words(run: Run) -> str:
    """A run in the field: by what people tell runs apart, and the end of its id."""
    parts = [run.name, *_strategy(run, run.name), f"seed {run.seed}", *run.tags]
    if run.status != "succeeded":
        parts.append(run.status)
    return " · ".join([*parts, run.id[-6:]])


def _strategy(run: Run, name: str) -> list[str]:
    """The strategy, where the name does not say it."""
    strategy = run.strategy or "own composition"
    return [strategy] if strategy != name else []


def _run(id_: str, found: dict[str, Run]) -> Run:
    """A run by its id; what is over is not asked for again."""
    if id_ in found:
        return found[id_]
    kept: dict[str, Run] = st.session_state.setdefault("compare_runs", {})
    if id_ not in kept or kept[id_].status not in OVER:
        kept[id_] = client().get_run(id_)
    return kept[id_]


def _switch(latest: Page[Run], by: str) -> None:
    """From runs to their groups, and back."""
    by_id = {run.id: run for run in latest.data} | st.session_state.get("compare_runs", {})
    if by == _GROUPS:
        runs = [by_id[id_] for id_ in asked("runs") if id_ in by_id]
        st.query_params.pop("runs", None)
        st.query_params["groups"] = ",".join(dict.fromkeys(run.group_hash for run in runs))
    else:
        groups = asked("groups")
        st.query_params.pop("groups", None)
        put("runs", [run.id for run in latest.data if run.group_hash in groups])
    st.query_params.pop("baseline", None)


def baselines(methods: list[Method]) -> dict[str, str]:
    """What can be a baseline: a run's id, or in a comparison of groups a hash, with its label."""
    grouped = "groups" in st.query_params
    return {
        method.group if grouped else method.done[0].id: method.label
        for method in methods
        if method.done
    }


def baseline(methods: list[Method]) -> str | None:
    """The baseline that the URL names: by the group's hash, or by any run of it."""
    wanted = st.query_params.get("baseline")
    able = baselines(methods)
    for method in methods:
        if method.done and wanted in (method.group, *(run.id for run in method.runs)):
            return next(key for key in (method.group, method.done[0].id) if key in able)
    return None


def choose_baseline(methods: list[Method]) -> None:
    """The field for it."""
    able = baselines(methods)
    if len(able) < 2:
        return
    select_field(
        "chosen_baseline",
        "Differences to",
        ["", *able],
        baseline(methods) or "",
        lambda key: put("baseline", [key] if key else []),
        words=lambda key: able.get(key, "none"),
        help="the baseline: the table then shows how the others differ from it",
        width=340,
    )
