"""The dashboard beside the pages of an MLflow tracking server, interleaved, in one Chromium.

Both hold the same finished runs, one of them with a long history of eight metrics. Measured, in
turns, each in a fresh browser session (nothing cached) with a window of 1280 x 900: from the start
of the navigation until the list of runs can be used (its first row is visible, its search takes
words); until the charts of the run with the long history are drawn (ours: all of the page;
MLflow: those in the window, for it draws the others when they are scrolled to). Then the requests
that our API gets from an open list of runs that nobody touches, while some move and while none do.

    python benchmarks/dashboard.py [--runs 10000] [--points 1000000] [--rounds 5]

Needs Chromium on PATH, or named by ENTROMASK_BROWSER.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from _browser import chromium, opened, picture, since_start
from _curves import SHAPES, curve, steps_of
from _filling import METRICS, RESULTS, SCORES, add_history, fill, for_mlflow
from _machine import write_result
from _servers import (
    CACHE,
    MLFLOW,
    dashboard_server,
    entromask_server,
    mlflow_python,
    mlflow_server,
)
from playwright.sync_api import Browser, WebSocket
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select, update

from backend.db.engine import Database
from backend.db.tables import Run

TARGET_MS = 2000.0
# By what the runs do: the seconds between two refreshes at least, and how many are counted.
REFRESHES = {"moving": (2.0, 6), "quiet": (10.0, 3)}
# Until a page that has begun has all that it will have, in milliseconds.
_SETTLED = 5_000


@dataclass(frozen=True)
class Side:
    """One of the two: the addresses of its pages, and JavaScript that looks at them.

    Args:
        usable: whether the list of runs can be used.
        charts: the number of charts that are drawn.
    """

    label: str
    runs: str
    run: str
    usable: str
    charts: str


def usable(row: str, search: str) -> str:
    return (
        f"entromask.all(`{row}`).some(entromask.seen) && "
        f"entromask.all(`{search}`).some((field) => entromask.seen(field) && !field.disabled)"
    )


def charts(chart: str, line: str, where: str) -> str:
    """Counts the charts in which a line has been drawn."""
    return (
        f"entromask.all(`{chart}`).filter((chart) => {where} && [...chart.querySelectorAll("
        f"`{line}`)].some((line) => line.getAttribute('d')?.length > 10)).length"
    )


def ours(url: str, run_id: str) -> Side:
    return Side(
        "ours",
        f"{url}runs",
        f"{url}run?id={run_id}",
        usable("tr[data-run]", "input[aria-label=Search]"),
        charts("[data-testid=stVegaLiteChart]", ".mark-line path", "true"),
    )


def mlflow(url: str, run_id: str) -> Side:
    return Side(
        "mlflow",
        f"{url}#/experiments/0/runs",
        f"{url}#/experiments/0/runs/{run_id}/model-metrics",
        usable('.ag-row a[href*="/runs/"]', 'input[placeholder^="metrics."]'),
        charts(".js-plotly-plot", ".trace .js-line", "entromask.seen(chart)"),
    )


def compare(browser: Browser, sides: list[Side], rounds: int) -> dict[str, Any]:
    """Both pages in turns, ours first in even rounds; the first load of each is not counted."""
    wanted = {side.label: warm_up(browser, side) for side in sides}
    times: dict[str, dict[str, list[float]]] = {
        name: {side.label: [] for side in sides}
        for name in ("runs_page", "run_page_first_chart", "run_page")
    }
    for number in range(rounds):
        turns = sides if number % 2 == 0 else sides[::-1]
        for side in turns:
            with opened(browser, side.runs) as page:
                times["runs_page"][side.label].append(since_start(page, side.usable))
        for side in turns:
            with opened(browser, side.run) as page:
                for name, charts in (("run_page_first_chart", 1), ("run_page", wanted[side.label])):
                    moment = since_start(page, f"{side.charts} >= {charts}")
                    times[name][side.label].append(moment)
    table: dict[str, Any] = {name: described(values) for name, values in times.items()}
    for name, row in table.items():
        print(
            f"{name:<21}"
            + "".join(
                f"{label} {row[label]['median_ms']:>6} ms ({row[label]['min_ms']} to "
                f"{row[label]['max_ms']})   "
                for label in times[name]
            )
            + f"{row['ratio']}x"
        )
        if not row["met"]:
            print(f"  ours is not under {TARGET_MS:.0f} ms")
    print(f"charts waited for: {wanted}")
    return table | {"charts": wanted}


def warm_up(browser: Browser, side: Side) -> int:
    """Opens both pages; returns how many charts the run's page has in the end."""
    with opened(browser, side.runs) as page:
        since_start(page, side.usable)
        picture(page, f"{side.label}-runs")
    with opened(browser, side.run) as page:
        since_start(page, f"{side.charts} > 0")
        page.wait_for_timeout(_SETTLED)
        charts: int = page.evaluate(f"() => {side.charts}")
        picture(page, f"{side.label}-run")
    return charts


def described(times: dict[str, list[float]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        label: {
            "median_ms": round(statistics.median(values)),
            "min_ms": round(min(values)),
            "max_ms": round(max(values)),
            "each_ms": [round(value) for value in values],
        }
        for label, values in times.items()
    }
    row["ratio"] = round(row["mlflow"]["median_ms"] / row["ours"]["median_ms"], 2)
    row["target_ms"] = TARGET_MS
    row["met"] = row["ours"]["median_ms"] < TARGET_MS
    return row


def requests_of(api: httpx.Client) -> Counter[str]:
    """The requests that the API has had so far, by method and route, but for those of here."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(api.get("/metrics").raise_for_status().text):
        for sample in family.samples:
            if sample.name == "entromask_requests_total" and sample.labels["route"] != "/metrics":
                found[f"{sample.labels['method']} {sample.labels['route']}"] += int(sample.value)
    return found


def refreshes(browser: Browser, url: str, api: httpx.Client, state: str) -> dict[str, Any]:
    """What the API is asked by an open list of runs that nobody touches."""
    every, count = REFRESHES[state]
    messages: list[object] = []

    def watch(socket: WebSocket) -> None:
        # A refresh is a message of the page to the dashboard.
        socket.on("framesent", lambda message: messages.append(message))

    with opened(browser, url, lambda page: page.on("websocket", watch)) as page:
        page.wait_for_timeout(_SETTLED)
        messages.clear()
        while not messages:
            page.wait_for_timeout(50)
        # From the middle between two refreshes, so that none is counted in half.
        page.wait_for_timeout(500 * every)
        messages.clear()
        before = requests_of(api)
        page.wait_for_timeout(1000 * every * count)
        calls = requests_of(api) - before
    seen = len(messages)
    met = 0 < calls.total() <= seen <= count + 1 and set(calls) == {"GET /v1/runs"}
    per_refresh = {route: round(number / max(1, seen), 2) for route, number in calls.items()}
    print(
        f"refreshes, runs {state}: {seen} in {every * count:.0f} s, calls of the API per "
        f"refresh: {per_refresh}" + ("" if met else "  (asked: one GET /v1/runs)")
    )
    return {
        "seconds": every * count,
        "refreshes": seen,
        "calls": dict(calls),
        "calls_per_refresh": per_refresh,
        "met": met,
    }


def start_some(database: Database, runs: int = 3) -> None:
    """The newest runs are running from now on, as far as the database knows."""
    newest = select(Run.id).order_by(Run.created_at.desc()).limit(runs)
    progress = {"step": 300, "total": 1200, "fraction": 0.25, "eta_seconds": 75.0}
    running = {"status": "running", "stage": "pretraining", "progress": progress}
    with database.write() as session:
        session.execute(
            update(Run)
            .where(Run.id.in_(newest.scalar_subquery()))
            .values(**running, finished_at=None, results=None)
        )


def fill_ours(database: Database, runs: int, points: int) -> str:
    """Returns the id of the run with the long history."""
    run_id = fill(database, runs, RESULTS)
    steps = steps_of(points)
    latest = {}
    for key in SHAPES:
        history = list(curve(key, steps))
        add_history(database, run_id, key, history)
        latest[key] = history[-1][1]
    with database.write() as session:
        session.execute(update(Run).where(Run.id == run_id).values(metrics=latest))
    return run_id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where MLflow is installed")
    options = parser.parse_args()
    python = mlflow_python(options.cache)
    with tempfile.TemporaryDirectory() as place:
        folder, peer_folder = Path(place) / "ours", Path(place) / "mlflow"
        folder.mkdir()
        peer_folder.mkdir()
        database = Database(f"sqlite:///{folder / 'entromask.db'}")
        run_id = fill_ours(database, options.runs, options.points)
        description = for_mlflow(METRICS | SCORES, options.points)
        with (
            entromask_server(folder) as api,
            dashboard_server(folder, api) as pages,
            mlflow_server(peer_folder, python, options.runs, description) as (peer, peer_id),
            chromium() as browser,
        ):
            version = browser.version
            side = ours(str(pages.base_url), run_id)
            table = compare(browser, [side, mlflow(str(peer.base_url), peer_id)], options.rounds)
            counted = {"quiet": refreshes(browser, side.runs, api, "quiet")}
            start_some(database)
            counted["moving"] = refreshes(browser, side.runs, api, "moving")
        database.close()
    result = {
        "runs": options.runs,
        "points": options.points,
        "mlflow": MLFLOW,
        "chromium": version,
        "pages": table,
        "refreshes": counted,
    }
    print(write_result("dashboard", result))


if __name__ == "__main__":
    main()
