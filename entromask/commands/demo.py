"""`entromask demo`: the whole service, three runs through it, and their comparison."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from entromask.errors import EntromaskError
from entromask.settings import settings
from entromask.terminal import duration

if TYPE_CHECKING:
    from entromask.client import Client
    from entromask.resources import Run

# Importing torch on a busy machine takes its time.
_START = 180.0
# The dashboard starts after the workers.
_DASHBOARD = 30.0
_LOOK = 1.0
# Where there are no bars, a line for each running run this often.
_LINES = 5.0


def demo(
    leave: Annotated[
        bool,
        typer.Option(
            "--exit",
            envvar="ENTROMASK_DEMO_EXIT",
            help="Stop the service after the comparison, instead of staying up.",
        ),
    ] = False,
) -> None:
    """Random, teacher-entropy and self-entropy masking, compared, in minutes on a CPU."""
    from entromask.client import Client
    from entromask.commands.service import EXIT_CODES
    from entromask.demo import submit_demo

    console = Console(stderr=True)
    start = time.monotonic()
    with _service(console) as service, Client() as client:
        _wait_for_workers(client, service)
        runs = submit_demo(client)
        _open(console, service is not None and not leave)
        runs = _watch(client, runs, console)
        _show(client, runs)
        print(f"Total time: {duration(time.monotonic() - start)}", flush=True)
        if service is not None and not leave:
            _stay(service)
    raise typer.Exit(max(EXIT_CODES.get(run.status, 1) for run in runs))


@contextmanager
def _service(console: Console) -> Iterator[subprocess.Popen[bytes] | None]:
    """The service of this ENTROMASK_HOME: None where it is up already, else ours, ended after."""
    if _is_up():
        console.print(f"The service is up already: {settings().api}", highlight=False)
        yield None
        return
    settings().logs.mkdir(parents=True, exist_ok=True)
    log = settings().logs / "up.log"
    console.print(f"Starting the service; its log: {log}", highlight=False)
    with log.open("ab") as out:
        # A session of its own: Ctrl-C is for us, who then stop it in order.
        process = subprocess.Popen(
            [sys.executable, "-m", "entromask", "up", *_workers()],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield process
    except KeyboardInterrupt:
        console.print("stopping; `entromask demo` continues where it was", highlight=False)
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.send_signal(signal.SIGINT)
        process.wait()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, before)


def _is_up() -> bool:
    return _answers(f"{settings().api}/readyz")


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _workers() -> list[str]:
    """Without a GPU, two workers of one thread: these models are too small for two threads."""
    from entromask.stack.hardware import cores, gpus

    return [] if gpus() else ["--workers", str(min(2, cores()))]


def _wait_for_workers(client: Client, service: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + _START
    while not (_is_up() and any(worker.queue == "train" for worker in client.workers())):
        if service is not None and service.poll() is not None:
            tail = (settings().logs / "up.log").read_text(encoding="utf-8", errors="replace")
            last = [line for line in tail.splitlines() if line.startswith(("error:", "hint:"))][-2:]
            words = [line.partition(": ")[2] for line in last] or ["the service did not start"]
            raise EntromaskError(words[0], words[1] if len(words) > 1 else None)
        if time.monotonic() > deadline:
            raise EntromaskError(
                f"no worker is there after {_START:g} s", f"see {settings().logs}, or: entromask up"
            )
        time.sleep(0.2)


def _open(console: Console, look: bool) -> None:
    """Names the dashboard's page of these runs, and shows it where somebody can look at it."""
    from entromask.demo import TAG

    page = f"{settings().dashboard}/runs?tag={TAG}"
    console.print(f"Watch them: {page}", highlight=False, soft_wrap=True)
    if not look or not console.is_terminal:
        return
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return  # a text browser would take the terminal
    deadline = time.monotonic() + _DASHBOARD
    while not _answers(f"{settings().dashboard}/_stcore/health"):
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)
    webbrowser.open(page)


def _watch(client: Client, runs: Sequence[Run], console: Console) -> list[Run]:
    """Shows all runs at once until they are over; returns them as they ended."""
    from entromask.resources import OVER

    show = _Bars(runs, console) if console.is_terminal else _Lines(console)
    with show as update:
        while True:
            runs = [client.get_run(run) for run in runs]
            for run in runs:
                update(run)
            if all(run.status in OVER for run in runs):
                return list(runs)
            time.sleep(_LOOK)


class _Bars:
    """A bar for each run; it begins anew with each stage."""

    def __init__(self, runs: Sequence[Run], console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<31}"),
            TextColumn("{task.fields[stage]:<12}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            console=console,
        )
        self.bars = {
            run.id: self.progress.add_task(run.name, total=1.0, stage=run.status, detail="")
            for run in runs
        }

    def __enter__(self) -> _Bars:
        self.progress.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.progress.stop()

    def __call__(self, run: Run) -> None:
        over = run.status == "succeeded"
        fraction = run.progress.fraction if run.progress else None
        self.progress.update(
            self.bars[run.id],
            completed=1.0 if over else fraction or 0.0,
            stage=(run.stage if run.status == "running" else None) or run.status,
            detail="" if over else _detail(run),
        )


class _Lines:
    """Plain lines, for logs: what changes its stage at once, progress now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *failure: object) -> None:
        return None

    def __call__(self, run: Run) -> None:
        where = (run.stage if run.status == "running" else None) or run.status
        before, due = self.last.get(run.id, ("", 0.0))
        now = time.monotonic()
        if where == before and (run.status != "running" or now < due):
            return
        self.last[run.id] = (where, now + _LINES)
        line = f"{run.name:<31} {where:<12} {_detail(run)}".rstrip()
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _detail(run: Run) -> str:
    progress = run.progress
    if run.status != "running" or progress is None or progress.total is None:
        return ""
    words = [f"{progress.step}/{progress.total}"]
    if progress.tokens_per_second is not None:
        words.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if progress.eta_seconds is not None:
        words.append(f"{duration(progress.eta_seconds)} left")
    return "  ".join(words)


def _show(client: Client, runs: Sequence[Run]) -> None:
    from entromask.analysis import compare, render
    from entromask.analysis.runs import Run as Finished
    from entromask.commands.service import reason
    from entromask.spec import RunSpec

    done = [run for run in runs if run.status == "succeeded"]
    finished = [Finished(run.name, RunSpec.parse(run.spec), client.results(run)) for run in done]
    print()
    if finished:
        sys.stdout.write(render(compare(finished, None), "text"))
    for run in runs:
        if run.status == "failed":
            print(f"error: {run.name} failed: {reason(run)}", file=sys.stderr)
    print("\nEach run's model is ready for transformers:")
    for run in done:
        print(f"  {run.name:<31} {settings().runs / run.id / 'model'}")
    if done:
        ids = ",".join(run.id for run in done)
        print(f"Compare them:         {settings().dashboard}/compare?runs={ids}")
        print(f"Look into the masks:  {settings().dashboard}/entropy?models={ids}")


def _stay(service: subprocess.Popen[bytes]) -> None:
    """Until Ctrl-C."""
    setting = "" if settings().api_port == 8000 else f"ENTROMASK_API_URL={settings().api} "
    print(
        f"\nThe service stays up for looking around: {settings().dashboard}\n"
        "In another terminal:\n"
        f"  {setting}entromask runs\n"
        f"  {setting}entromask submit examples/quick.yaml --follow\n"
        "Ctrl-C stops it.",
        flush=True,
    )
    try:
        service.wait()
    except KeyboardInterrupt:
        print("stopping", file=sys.stderr)
