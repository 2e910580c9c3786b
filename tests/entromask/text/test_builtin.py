"""The builtin corpus: large enough, clean, always the same, and made without importing anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from entromask.text.builtin import builtin_documents


def test_it_has_about_300_000_words_in_hundreds_of_documents() -> None:
    documents = list(builtin_documents())
    assert 300 <= len(documents) <= 1500
    assert 200_000 <= sum(len(text.split()) for text in documents) <= 400_000


def test_it_reads_as_prose() -> None:
    lines = [line for text in builtin_documents() for line in text.split("\n")]
    assert len(lines) == len(set(lines)), "no paragraph occurs twice"
    assert not [line for line in lines if line.startswith(">>>") or "::=" in line]
    assert not [line for line in lines if "=====" in line or "*****" in line or "-----" in line]
    words = [word for line in lines for word in line.split()]
    assert sum(word.strip(".,:;()\"'").isalpha() for word in words) > 0.85 * len(words)


def test_topics_come_first_and_then_modules_by_name() -> None:
    documents = list(builtin_documents())
    assert "assert" in documents[0].lower()
    contextlib = next(i for i, text in enumerate(documents) if "with-statement contexts" in text)
    textwrap = next(i for i, text in enumerate(documents) if "wrapping and filling" in text)
    assert 0 < contextlib < textwrap


_PROGRAM = """
import hashlib, json, sys
before = set(sys.modules)
from entromask.text.builtin import builtin_documents
text = "\\0".join(builtin_documents())
imported = [name for name in ("this", "antigravity", "tkinter", "turtle") if name in sys.modules]
print(json.dumps([hashlib.sha256(text.encode()).hexdigest(), imported]))
"""


@pytest.mark.slow
def test_a_fresh_process_with_another_hash_seed_gives_the_same_and_imports_no_source(
    tmp_path: Path,
) -> None:
    answers = []
    for seed in ("1", "2"):
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "ENTROMASK_HOME": str(tmp_path / seed),
        }
        result = subprocess.run(
            [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True
        )
        # `import this` would have printed a poem.
        answers.append(json.loads(result.stdout))
        assert result.stderr == ""
    assert answers[0] == answers[1]
    assert answers[0][1] == []


@pytest.mark.slow
def test_it_is_read_from_the_cache_the_second_time(home: Path) -> None:
    first = list(builtin_documents())
    (file,) = (home / "cache" / "builtin").iterdir()
    file.write_text(json.dumps(["a changed cache"]))
    assert len(first) > 1
    assert list(builtin_documents()) == ["a changed cache"]
