"""Every page in a real browser: its width, its manners, its way back when the API was away."""

from __future__ import annotations

import signal

import pytest
from playwright.sync_api import expect

from entromask.client import Client
from frontend.routes import ROUTES
from tests.browser.conftest import Tab, Watch, overflow, settle
from tests.up import Service, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ROUTES)
def test_a_page_without_any_run_fits_its_window(
    tab: Tab, name: str, scheme: str, width: int
) -> None:
    page = tab(f"/{ROUTES[name].path}", width, scheme)
    assert overflow(page) <= 0
    assert page.get_by_test_id("stException").count() == 0


def test_the_bare_address_leads_to_the_runs(tab: Tab) -> None:
    page = tab("/")
    page.wait_for_url("**/runs")
    expect(page.get_by_text("No runs yet")).to_be_visible()


@pytest.mark.parametrize("name", ROUTES)
def test_a_page_says_that_the_api_is_away_and_comes_back_by_itself(
    stack: Service, tab: Tab, watch: Watch, name: str
) -> None:
    watch.forgiving = True
    page = tab("/system")
    before = stack.part("api").pid
    page.evaluate("window.neverReloaded = true")
    # Who would start it again at once holds still until the page has missed it.
    stack.process.send_signal(signal.SIGSTOP)
    try:
        stack.part("api").kill()
        link = page.get_by_test_id("stTopNavLink").filter(has_text=ROUTES[name].title)
        if link.count():
            link.first.click()
        else:
            page = tab(f"/{ROUTES[name].path}")
            page.evaluate("window.neverReloaded = true")
        expect(page.get_by_text("no Entromask service answers").first).to_be_visible()
    finally:
        stack.process.send_signal(signal.SIGCONT)
    until(lambda: stack.parts()["api"] != before)
    expect(page.get_by_text("no Entromask service answers")).to_have_count(0)
    settle(page)
    assert page.evaluate("window.neverReloaded")
    with Client(stack.url) as client:
        client.health()


def test_a_word_that_is_no_page_leads_to_the_start(tab: Tab, watch: Watch) -> None:
    # Streamlit's own words about it, in the console.
    watch.forgiving = True
    page = tab("/nothing")
    page.wait_for_url("**/runs")
