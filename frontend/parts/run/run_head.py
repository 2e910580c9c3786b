"""The head of a run's page: what state it is in, what it is, why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

import streamlit as st

from entromask.client import Client
from entromask.errors import EntromaskError
from entromask.resources import OVER, Run
from frontend.parts.words import ago, amount, duration
from frontend.routes import url
from frontend.session import literal

# What the reasons of failed runs mean, beside the message that tells of this one.
REASONS = {
    "user_error": "The spec or its data cannot be used",
    "cuda_oom": "The GPU's memory was full",
    "host_oom": "The machine's memory was full",
    "worker_lost": "The worker was lost",
    "timeout": "It took longer than is allowed",
    "nan_loss": "The training diverged",
    "dependency_missing": "A package is missing where it ran",
    "disk_full": "The disk was full",
    "internal": "An unexpected error",
}
_LOG_LINES = 15
_NONE = "–"


def status_line(run: Run) -> str:
    """Status and stage as HTML, with a sign that needs no colour."""
    words: str = run.status
    if run.stage and run.status in ("running", "cancelling"):
        words += f", {run.stage}"
    return f"<div class='em-status {escape(run.status)}'>{escape(words)}</div>"


def show_state(api: Client, run: Run) -> None:
    """The status, and where something moves how far it is."""
    with st.container(horizontal=True, vertical_alignment="center", key="state"):
        st.html(status_line(run), width="content")
        # One click selects it whole. `st.code` would load a highlighter as large as all the rest.
        st.html(f"<code class='em-id'>{escape(run.id)}</code>", width="content")
    if run.status == "queued":
        st.caption(_queue(api))
    elif run.status in ("running", "cancelling"):
        fraction = run.progress.fraction if run.progress else None
        st.progress(min(1.0, max(0.0, fraction or 0.0)), text=progress_words(run))


def progress_words(run: Run) -> str:
    """`pretraining, step 300 of 1,200, 25 %, 21 k tokens/s, 1:15 left`."""
    progress = run.progress
    parts = [run.stage or "starting"]
    if progress is not None:
        if progress.step is not None and run.stage == "pretraining":
            of = f" of {progress.total:,}" if progress.total else ""
            parts.append(f"step {progress.step:,}{of}")
        if progress.fraction is not None:
            parts.append(f"{100 * progress.fraction:.0f} %")
        if progress.tokens_per_second is not None:
            parts.append(f"{amount(progress.tokens_per_second)} tokens/s".replace("  ", " "))
        if progress.eta_seconds is not None:
            parts.append(f"{duration(progress.eta_seconds)} left")
    return ", ".join(parts)


def _queue(api: Client) -> str:
    """What a queued run waits for."""
    queue = api.queue()
    if not queue.workers:
        return (
            "No worker is alive. `entromask up` starts one on this machine, `python -m worker` "
            "one on another."
        )
    others = queue.queued - 1
    waiting = f"{others} other {'run waits' if others == 1 else 'runs wait'}" if others > 0 else ""
    who = f"{queue.workers} {'worker' if queue.workers == 1 else 'workers'}"
    return ", ".join(part for part in (f"Waiting for one of {who}", waiting) if part) + "."


def show_failure(run: Run) -> None:
    """Why the run failed, and what to do."""
    error, reason = run.error, run.reason or "internal"
    sentence = f"**{REASONS.get(reason, 'It failed')}** ({literal(reason)})"
    if error is not None:
        sentence += f": {literal(error.message)}"
        if error.hint:
            sentence += f"\n\n**What to do:** {literal(error.hint)}"
    st.error(sentence)


def show_log_end(api: Client, run: Run) -> None:
    """How the log of a run that failed ends."""
    try:
        log = api.logs(run.id, tail=_LOG_LINES).strip("\n")
    except EntromaskError as problem:
        st.caption(f"Its log cannot be read: {literal(problem.message)}")
        return
    if not log:
        st.caption("Its log is empty.")
        return
    lines = log.splitlines()
    st.caption("The end of its log:")
    st.code(log, language=None, wrap_lines=True, height=260 if len(lines) > 8 else "content")


def show_facts(run: Run) -> None:
    """What the run is, in a grid that wraps."""
    cells = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{value}</dd></div>" for label, value in facts(run)
    )
    st.html(f"<dl class='em-facts'>{cells}</dl>")
    if run.notes:
        st.markdown(literal(run.notes).replace("\n", "  \n"))


def facts(run: Run) -> list[tuple[str, str]]:
    """(label, HTML) of what the run is and when it was what."""
    model, pretraining = run.spec.get("model") or {}, run.spec.get("pretraining") or {}
    teacher = run.spec.get("teacher") or {}
    rows = [
        ("Strategy", escape(run.strategy or "own composition")),
        ("Seed", str(run.seed)),
        ("Model", escape(" ".join(str(model.get(k)) for k in ("architecture", "size")))),
        ("Budget", escape(budget(pretraining.get("budget") or {}))),
    ]
    if teacher:
        rows.append(("Teacher", _teacher(teacher)))
    if distillation := run.spec.get("distillation"):
        rows.append(("Distillation", escape(_distillation(distillation))))
    if run.experiment_id:
        rows.append(("Experiment", _link(run.experiment_id)))
    rows += [
        ("Tags", _tags(run.tags)),
        ("Created", _moment(run.created_at)),
        ("Started", _moment(run.started_at)),
        ("Took" if run.status in OVER else "So far", escape(took(run))),
        ("Worker", escape(run.worker or _NONE)),
        ("Attempt", str(run.attempt)),
    ]
    return rows


def budget(given: dict[str, object]) -> str:
    """`{"steps": 1200, "tokens": None}` is `1,200 steps`."""
    parts = [f"{value:,} {key}" for key, value in given.items() if isinstance(value, int | float)]
    return ", ".join(parts) or _NONE


def took(run: Run) -> str:
    """How long it has taken since it was started."""
    if run.started_at is None:
        return _NONE
    end = run.finished_at
    if end is None:
        return ago(run.started_at).removesuffix(" ago") if run.status not in OVER else _NONE
    return duration(end - run.started_at)


def _moment(seconds: float | None) -> str:
    """How long ago, and on resting on it when exactly."""
    if seconds is None:
        return _NONE
    exact = datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return f"<span title='{escape(exact)}'>{escape(ago(seconds))}</span>"


def _tags(tags: Sequence[str]) -> str:
    return " ".join(f"<span class='em-tag'>{escape(tag)}</span>" for tag in tags) or _NONE


def _teacher(teacher: dict[str, Any]) -> str:
    if teacher.get("run"):
        id_, step = str(teacher["run"]), teacher.get("checkpoint")
        at = "" if step is None else f" at step {step:,}"
        return f"<a href='{escape(url('run', id=id_))}' target='_self'>{escape(id_)}</a>{at}"
    return escape(", ".join(str(value) for value in teacher.values() if value))


def _distillation(given: dict[str, Any]) -> str:
    """`weight 0.5, temperature 2, masked positions, fresh`."""
    words = [f"{key} {given[key]:g}" for key in ("weight", "temperature")]
    words.append(f"{given['positions']} positions")
    if given["top_k"] is not None:
        words.append(f"top {given['top_k']}")
    return ", ".join([*words, given["refresh"]])


def _link(experiment: str) -> str:
    address = escape(url("experiment", id=experiment))
    return f"<a href='{address}' target='_self'>{escape(experiment)}</a>"
