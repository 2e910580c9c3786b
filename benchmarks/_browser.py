"""A Chromium that opens pages with nothing cached, and says when a condition holds in one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

WINDOW = {"width": 1280, "height": 900}
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# As the browser tests have it.
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
_PATIENCE = 120_000
# Between two pages, in seconds.
_PAUSE = 1.0
# What conditions are made of: elements by a selector that goes into Streamlit's components, and
# whether an element can be seen without scrolling.
_HELPERS = """
window.entromask = {
  all: (selector) => [
    document,
    ...[...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")].map(
      (element) => element.shadowRoot),
  ].flatMap((root) => (root ? [...root.querySelectorAll(selector)] : [])),
  seen: (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight
      && element.checkVisibility({opacityProperty: true, visibilityProperty: true});
  },
};
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser that ENTROMASK_BROWSER names, else the first one on PATH."""
    wanted = os.environ.get("ENTROMASK_BROWSER")
    found = [path for name in ([wanted] if wanted else _NAMES) if (path := shutil.which(name))]
    if not found:
        raise SystemExit("needs Chromium: apt install chromium, or set ENTROMASK_BROWSER")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found[0], args=list(_ALONE))
        yield started
        started.close()


@contextmanager
def opened(
    browser: Browser, url: str, watch: Callable[[Page], object] = lambda page: None
) -> Iterator[Page]:
    """A page in a browser session of its own, once its navigation has begun.

    Begins with a pause, in which the browser and the servers are done with the page before.
    """
    time.sleep(_PAUSE)
    context = browser.new_context(viewport=WINDOW, color_scheme="light")  # type: ignore[arg-type]
    try:
        context.set_default_timeout(_PATIENCE)
        context.add_init_script(_HELPERS)
        page = context.new_page()
        watch(page)
        page.goto(url, wait_until="commit")
        yield page
    finally:
        context.close()


def since_start(page: Page, condition: str) -> float:
    """Milliseconds from the start of the navigation until the condition, JavaScript, holds.

    The browser itself looks at it, in every frame that it draws.
    """
    try:
        moment: float = page.wait_for_function(
            f"() => ({condition}) && performance.now()", polling="raf"
        ).json_value()
    except TimeoutError:
        picture(page, "failed")
        raise SystemExit(f"{page.url}: in {_PATIENCE / 1000:.0f} s never {condition}") from None
    return moment


def picture(page: Page, name: str) -> None:
    """Keeps what was measured where ENTROMASK_SCREENSHOTS says so."""
    if folder := os.environ.get("ENTROMASK_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")
