"""The submit form in a real browser on a busy machine: its fields show what will be submitted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect

from entromask.client import Client
from entromask.resources import Run
from tests.browser.conftest import PATIENCE, Tab, settle
from tests.up import Service

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Fresh loads of the form; two at a time, so that one is drawn while the other's script runs.
_LOADS, _AT_ONCE = 50, 2
# Seconds in which a field that has come into the page is drawn.
_DRAWN = 20.0
_SMALL: dict[str, Any] = {
    "corpus": {"source": "builtin", "max_tokens": 60_000},
    "tokenizer": {"source": "train", "vocab_size": 512},
    "model": {"architecture": "bert", "size": "tiny"},
    "pretraining": {"budget": {"tokens": 4096}, "batch_size": 8, "sequence_length": 64},
}


@contextmanager
def busy_processors() -> Iterator[None]:
    """Keep every processor busy twice over."""
    command = [sys.executable, "-c", "while True: pass"]
    burning = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cloned(stack: Service) -> Run:
    """A run with few default values; beside it there is a model for the picture of the masks."""
    spec = {
        "name": "all its own",
        "seed": 7,
        "masking": {"preset": "frequency", "rate": 0.25},
        "evaluation": {"tasks": ["demo-pair"], "seeds": [0, 1], "floor": False},
    }
    with Client(stack.url) as client:
        model = client.create_run(_SMALL | {"evaluation": {"tasks": [], "floor": False}})
        assert client.wait(model, timeout=PATIENCE / 250).status == "succeeded"
        run = client.create_run(_SMALL | spec, tags=["first", "second"], priority=2)
        client.cancel(run)
        return client.wait(run, timeout=PATIENCE / 250)


_FIELDS = """
() => {
  const main = document.querySelector('[data-testid=stMainBlockContainer]');
  const inputs = [...main.querySelectorAll('input[aria-label]')]
    .map((one) => [one.getAttribute('aria-label'), one.value]);
  const tags = [...main.querySelectorAll('[data-testid=stMultiSelect] [data-tag]')];
  return {...Object.fromEntries(inputs), Tasks: tags.map((one) => one.getAttribute('aria-label'))};
}
"""


def editor(page: Page) -> Locator:
    return page.locator("textarea[aria-label^='The run']")


def named(page: Page) -> Locator:
    """The field of the name; while the script runs, the one before is still behind it."""
    return page.get_by_label("Name", exact=True).first


def wrong(page: Page, priority: str) -> dict[str, tuple[Any, Any]]:
    """The fields of the form that do not show what its YAML holds: (shown, expected)."""
    shown = page.evaluate(_FIELDS)
    spec = yaml.safe_load(editor(page).input_value())
    [(unit, amount)] = spec["pretraining"]["budget"].items()
    evaluation = spec["evaluation"]
    expected = {
        "Name": spec["name"],
        "Corpus": "Built in: the documentation of Python",
        "Model size": "tiny: 2 layers x 128",
        "Architecture": spec["model"]["architecture"],
        "Masking preset": spec["masking"]["preset"],
        "Masking rate": str(spec["masking"].get("rate", "")),
        "Teacher": "none",
        "Distillation": "none",
        "Tasks": [f"{task} (demo)" for task in evaluation["tasks"]],
        "Pretraining seeds": str(spec.get("seed", 0)),
        "Fine-tuning seeds": ", ".join(map(str, evaluation.get("seeds", []))),
        "Budget": str(amount),
        "Unit": unit,
        "Tags": ", ".join(spec.get("tags", [])),
        "Priority": priority,
    }
    return {
        label: (shown.get(label), value)
        for label, value in expected.items()
        if shown.get(label) != value
    }


def lasting(page: Page, priority: str) -> dict[str, tuple[Any, Any]]:
    """What is wrong, and stays so: a field is blank for a moment when it is drawn."""
    deadline = time.monotonic() + _DRAWN
    while (found := wrong(page, priority)) and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    return found


def test_every_field_of_fifty_fresh_loads_equals_the_yaml(
    browser: Browser, stack: Service, cloned: Run
) -> None:
    ways = [("/submit", "5"), (f"/submit?clone={cloned.id}", "2")]
    found = []
    with busy_processors():
        for start in range(0, _LOADS, _AT_ONCE):
            pages = []
            for number in range(start, start + _AT_ONCE):
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                context.set_default_timeout(PATIENCE)
                page = context.new_page()
                path, priority = ways[number % len(ways)]
                page.goto(f"{stack.dashboard}{path}", wait_until="commit")
                pages.append((page, priority))
            for page, priority in pages:
                # It comes last, and with it the script runs again.
                page.wait_for_selector(".em-masks")
                settle(page)
                found.append(lasting(page, priority))
                page.context.close()
    assert found == [{}] * _LOADS


_TYPED = """\
name: typed
corpus: {source: builtin}
model: {architecture: modernbert, size: tiny}
masking: {preset: random}
pretraining: {budget: {steps: 300}}
evaluation: {tasks: [demo-order], seeds: [0, 1]}
"""


def test_a_change_of_the_text_and_one_of_the_form_are_both_kept(tab: Tab, cloned: Run) -> None:
    with busy_processors():
        for _ in range(3):
            page = tab("/submit")
            editor(page).fill(_TYPED)
            expect(named(page)).to_have_value("typed")
            preset = page.get_by_role("combobox", name="Masking preset")
            preset.fill("self-entropy-sample")
            preset.press("Enter")
            expect(editor(page)).to_have_value(re.compile("preset: self-entropy-sample"))
            settle(page)
            assert lasting(page, "5") == {}
            assert "steps: 300" in editor(page).input_value()
            page.context.close()


def test_escape_changes_no_choice(tab: Tab, cloned: Run) -> None:
    page = tab("/submit")
    editor(page).fill(_TYPED)
    expect(named(page)).to_have_value("typed")
    page.get_by_text("Masking in parts", exact=True).click()
    expect(page.get_by_role("combobox", name="Refresh", exact=True)).to_be_visible()
    settle(page)
    before = page.evaluate(_FIELDS)
    boxes = page.get_by_test_id("stSelectbox").get_by_role("combobox")
    count = boxes.count()
    assert count > 12
    for number in range(count):
        box = boxes.nth(number)
        box.focus()
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.keyboard.type("e")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
    tasks = page.get_by_test_id("stMultiSelect").get_by_role("combobox")
    tasks.focus()
    for key in ("Escape", "ArrowDown", "Escape", "Escape"):
        page.keyboard.press(key)
    assert page.get_by_label("Clear value").count() == 0
    settle(page)
    assert page.evaluate(_FIELDS) == before
    assert editor(page).input_value() == _TYPED
    # A choice is left by choosing the first one.
    architecture = page.get_by_role("combobox", name="Architecture")
    architecture.focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name="default", exact=True).click()
    expect(editor(page)).to_have_value(re.compile(r"model: \{size: tiny\}"))
    expect(architecture).to_have_value("bert (default)")
