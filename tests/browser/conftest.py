"""A real Chromium over the dashboard of a real service; what no page may do fails every test.

ENTROMASK_BROWSER names the browser; where it is set, a browser that is missing fails the tests in
place of skipping them. ENTROMASK_SCREENSHOTS names a folder that keeps the pictures.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

from entromask.client import Client
from tests.up import Service, free_port

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Nothing that a browser of its own accord asks of its maker.
_ALONE = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# A page under a busy machine, in milliseconds.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)


def _executable() -> str:
    wanted = os.environ.get("ENTROMASK_BROWSER")
    if wanted:
        found = shutil.which(wanted)
        assert found, f"ENTROMASK_BROWSER is '{wanted}', and there is no such program"
        return found
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip("needs Chromium: apt install chromium, or set ENTROMASK_BROWSER")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = _executable()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(_ALONE))
        yield started
        started.close()


@pytest.fixture(scope="module")
def stack() -> Iterator[Service]:
    """`entromask up` with one worker, for all tests of a module."""
    with tempfile.TemporaryDirectory(prefix="em-") as folder:
        made = Service(Path(folder) / "h", free_port())
        try:
            made.wait_until_ready()
            yield made
        finally:
            if made.process.poll() is None:
                made.stop()


@pytest.fixture
def api(stack: Service) -> Iterator[Client]:
    with Client(stack.url) as client:
        yield client


class Watch:
    """What a page must not do: print errors, or ask anything of another host."""

    def __init__(self, own: str) -> None:
        self.own = own
        self.pages: list[Page] = []
        self.faults: list[str] = []
        # What the browser reports while a test has a part of the service killed.
        self.forgiving = False

    def __call__(self, page: Page) -> None:
        self.pages.append(page)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not self.forgiving:
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        own = (self.own, self.own.replace("http", "ws", 1), "data:", "blob:", "about:")
        if not request.url.startswith(own):
            self.faults.append(f"asked another host: {request.url}")


Tab = Callable[..., Page]


@pytest.fixture
def watch(stack: Service) -> Iterator[Watch]:
    made = Watch(stack.dashboard)
    yield made
    assert made.faults == []


@pytest.fixture
def tab(browser: Browser, stack: Service, watch: Watch) -> Iterator[Tab]:
    """Opens a path of the dashboard in a fresh browser session."""
    contexts = []

    def opened(path: str, width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch(page)
        page.goto(f"{stack.dashboard}{path}")
        settle(page)
        return page

    yield opened
    for context in contexts:
        context.close()


def settle(page: Page) -> None:
    """Until the page has been drawn and its script has ended."""
    page.wait_for_selector("[data-testid=stMainBlockContainer] h1")
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')"
        "?.getAttribute('data-test-script-state') === 'notRunning'"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows what a failed test leaves unsaid: the state of its pages, and what the service said."""
    report = yield
    given = getattr(item, "funcargs", {})
    if report.when == "call" and report.failed:
        if isinstance(watch := given.get("watch"), Watch):
            report.sections.append(("pages", "\n".join(map(_state, watch.pages))))
        if isinstance(stack := given.get("stack"), Service):
            report.sections.append(("service", "\n".join(stack.text.splitlines()[-60:])))
    return report


def _state(page: Page) -> str:
    """A page's address, whether its script runs, and what its text fields hold."""
    try:
        script, fields = page.evaluate(
            "() => [document.querySelector('[data-testid=stApp]')?.dataset.testScriptState,"
            " [...document.querySelectorAll('textarea, input[type=text]')].map((e) => e.value)]"
        )
    except PlaywrightError as error:  # it was closed, or its browser is gone
        return f"{page.url}: {error}"
    return f"{page.url}: script {script}, fields {fields}"


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    width: int = page.evaluate(
        "() => Math.max(document.documentElement.scrollWidth, "
        "...[...document.querySelectorAll('[data-testid=stMain]')].map((e) => e.scrollWidth))"
        " - window.innerWidth"
    )
    return width


def picture(page: Page, name: str) -> None:
    """Keeps a picture of the whole page where ENTROMASK_SCREENSHOTS says so."""
    folder = os.environ.get("ENTROMASK_SCREENSHOTS")
    if not folder:
        return
    size = page.viewport_size
    assert size is not None
    height: int = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(max(height, 600), 1500)})
    settle(page)
    # What was below the window is drawn only now.
    page.wait_for_timeout(500)
    Path(folder).mkdir(parents=True, exist_ok=True)
    page.screenshot(path=Path(folder) / f"{name}.png")
    page.set_viewport_size(size)
