"""An experiment's whole way: written, planned, queued, watched, read, taken along, deleted."""

from __future__ import annotations

import os
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from entromask.client import Client
from tests.browser.conftest import Tab, overflow, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Models that are to be looked at in pictures have left the unigram plateau.
_STEPS = 1200 if os.environ.get("ENTROMASK_SCREENSHOTS") else 60
# What four small runs take on a busy machine, in milliseconds.
_ALL = 900_000
_NAME = "self <b>over</b> seeds"
_YAML = f"""\
name: {_NAME}
base:
  corpus: {{source: builtin, max_tokens: 60000}}
  tokenizer: {{source: train, vocab_size: 1024}}
  model: {{architecture: modernbert, size: tiny}}
  pretraining:
    budget: {{steps: {_STEPS}}}
    batch_size: 8
    sequence_length: 64
    evaluate_every: 20
  evaluation: {{tasks: [demo-order], seeds: [0], floor: false}}
methods:
  random: {{masking.preset: random}}
  self: {{masking.preset: self-entropy-sample}}
seeds: [0, 1]
controls: false
"""


def charts(page: Page) -> Locator:
    return page.get_by_test_id("stVegaLiteChart").locator("canvas, svg.marks")


def test_an_experiment_from_its_text_to_its_report(tab: Tab, api: Client) -> None:
    page = tab("/experiments")
    expect(page.get_by_text("No experiments yet")).to_be_visible()
    page.get_by_role("button", name="New experiment").click()
    editor = page.locator("textarea[aria-label*='YAML']")
    expect(editor).to_have_value(re.compile("first experiment"))
    page.evaluate("window.neverReloaded = true")

    # What is wrong is said with its key and its line, and what to do; the text stays.
    editor.fill(_YAML.replace("self-entropy-sample", "self-entropy-sampel"))
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.get_by_text(re.compile("Line 14, .*masking.preset"))).to_be_visible()
    expect(editor).to_have_value(re.compile("self-entropy-sampel"))
    expect(page.get_by_role("button", name=re.compile("Queue"))).to_have_count(0)

    editor.fill(_YAML)
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.get_by_text("4 runs, all of them to be done")).to_be_visible()
    picture(page, "experiment-new")
    assert overflow(page) <= 0
    assert list(api.list_experiments()) == []
    page.get_by_role("button", name="Queue 4 runs").dblclick()

    page.wait_for_url("**/experiment?id=exp_*")
    expect(page.get_by_role("heading", name=_NAME)).to_be_visible()
    matrix = page.get_by_role("table", name=re.compile("The runs of"))
    expect(matrix.get_by_role("link")).to_have_count(4)
    expect(matrix.locator(".running").first).to_be_visible(timeout=_ALL)
    expect(page.get_by_text("The report begins with the first run")).to_be_visible()

    expect(page.locator(".em-status.succeeded")).to_be_visible(timeout=_ALL)
    # The page moved by itself, and one experiment was made of two clicks.
    assert page.evaluate("window.neverReloaded")
    [made] = api.list_experiments()
    assert (made.status, made.runs, made.name) == ("succeeded", {"succeeded": 4}, _NAME)
    expect(matrix.locator(".succeeded")).to_have_count(4)
    expect(charts(page)).to_have_count(2)
    expect(page.get_by_text("Before you believe a difference")).to_be_visible()
    expect(page.get_by_role("columnheader", name="demo-order")).to_be_visible()
    picture(page, "experiment")
    assert overflow(page) <= 0

    for kind, sign in (("Markdown", "# "), ("LaTeX", "\\toprule"), ("HTML", "<html"), ("CSV", ",")):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        text = download.value.path().read_text(encoding="utf-8")
        assert sign in text, kind
        assert made.id in download.value.suggested_filename
    for width, scheme in ((400, "light"), (1280, "dark")):
        narrow = tab(f"/experiment?id={made.id}", width, scheme)
        expect(charts(narrow)).to_have_count(2)
        assert overflow(narrow) <= 0
        picture(narrow, f"experiment-{width}-{scheme}")

    # To a run without a reload; then away with the experiment: its runs stay.
    matrix.get_by_role("link").first.click()
    page.wait_for_url("**/run?id=run_*")
    assert page.evaluate("window.neverReloaded")
    page = tab(f"/experiment?id={made.id}")
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Its runs stay")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No experiments yet")).to_be_visible()
    assert list(api.list_experiments()) == []
    assert len(list(api.list_runs())) == 4
