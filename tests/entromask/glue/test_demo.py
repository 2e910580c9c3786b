from __future__ import annotations

import re
import subprocess
import sys

import pytest

from entromask.glue.data import load_task
from entromask.glue.demo import SIZES
from entromask.glue.tasks import GLUE9
from entromask.text.builtin import builtin_documents

TASKS = ("demo-order", "demo-pair")


def documents_of_sentences() -> dict[str, int]:
    """The number of the first document that a sentence stands in."""
    place: dict[str, int] = {}
    for number, document in enumerate(builtin_documents()):
        for paragraph in document.split("\n"):
            for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph):
                place.setdefault(sentence, number)
    return place


@pytest.mark.parametrize("name", TASKS)
def test_a_demo_task_is_balanced_and_has_its_size(name: str) -> None:
    data = load_task(name)
    for split, size in SIZES.items():
        labels = data.references(split)
        assert len(labels) == size
        assert sum(labels) == size // 2
    assert data.rows == SIZES["validation"]
    assert name not in GLUE9


@pytest.mark.parametrize("name", TASKS)
def test_a_demo_task_is_the_same_in_every_process(name: str) -> None:
    code = f"from entromask.glue.data import load_task; print(load_task({name!r}).fingerprint)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == load_task(name).fingerprint


@pytest.mark.parametrize("name", TASKS)
def test_no_validation_text_and_no_validation_document_is_trained_on(name: str) -> None:
    data = load_task(name)
    place = documents_of_sentences()
    used: dict[str, set[str]] = {}
    documents: dict[str, set[int]] = {}
    for split, columns in data.splits.items():
        texts = [text for column in data.task.columns for text in columns[column]]
        used[split] = set(texts)
        documents[split] = {place[text] for text in texts if text in place}
    assert not used["train"] & used["validation"]
    assert not documents["train"] & documents["validation"]
    assert min(len(found) for found in documents.values()) > 20


def test_order_changes_the_order_of_the_words_and_nothing_else() -> None:
    text = "\n".join(builtin_documents())
    for split in load_task("demo-order").splits.values():
        for sentence, label in zip(split["sentence"], split["label"], strict=True):
            assert (sentence not in text) == bool(label), sentence
    sentences = {tuple(sorted(s.split())) for s in text.replace(". ", ".\n").split("\n")}
    train = load_task("demo-order").splits["train"]
    changed = [s for s, label in zip(train["sentence"], train["label"], strict=True) if label == 1]
    assert sum(tuple(sorted(s.split())) in sentences for s in changed) > 0.8 * len(changed)


def test_pairs_follow_each_other_exactly_where_the_label_says_so() -> None:
    text = "\n".join(builtin_documents())
    place = documents_of_sentences()
    for split in load_task("demo-pair").splits.values():
        firsts: dict[str, list[int]] = {}
        for first, second, label in zip(
            split["sentence1"], split["sentence2"], split["label"], strict=True
        ):
            assert (f"{first} {second}" in text) == bool(label)
            assert (place[first] == place[second]) == bool(label)
            firsts.setdefault(first, []).append(label)
        # A first sentence stands once with either label: it tells nothing on its own.
        assert all(sorted(labels) == [0, 1] for labels in firsts.values())
