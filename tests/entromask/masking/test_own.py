"""A user's own strategy, as docs/own-strategy.md shows it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from entromask.errors import InputError
from entromask.masking import Masker
from entromask.masking.own import own_score
from entromask.spec import Masking, RunSpec, SpecError
from tests.entromask.masking.tokenizers import CLS, SEP, word_tokenizer

PAGE = Path(__file__).parents[3] / "docs" / "own-strategy.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def install(folder: Path, module: str, code: str, points: dict[str, str]) -> None:
    """What pip leaves of a package with one module."""
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {module}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[entromask.scores]", *lines]) + "\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    project = tomllib.loads(block("toml"))["project"]
    install(tmp_path, "long_words", block("python"), project["entry-points"]["entromask.scores"])
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("long_words", None)


def test_the_page_s_strategy_predicts_long_tokens(installed: None) -> None:
    tokenizer = word_tokenizer(200)
    score = own_score("long-words", tokenizer, np.ones(len(tokenizer)))
    # w0 .. w9 are two characters long, w100 .. w199 four.
    row = [CLS, *range(5, 15), *range(105, 115), SEP]
    rows, ids = torch.tensor([row] * 50), torch.arange(50)
    masker = Masker({"score": "long-words", "select": "top", "rate": 0.5}, tokenizer)
    selected = masker.positions(rows, ids, 0, score(rows, ids))
    assert selected[:, 11:21].all()
    assert selected.sum() == 500


def test_a_spec_may_name_it_while_it_is_installed(installed: None) -> None:
    parts = Masking(score="long-words", select="sample", temperature=2.0)
    spec = RunSpec(masking=parts).resolved()
    assert (spec.masking.source, spec.masking.refresh) == (None, None)
    assert len(block("python").splitlines()) <= 20


def test_a_score_that_is_not_installed_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"no score 'long-words'.*entry point of the group"):
        RunSpec.parse({"masking": {"score": "long-words"}})


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def score(tokenizer):\n    return None\n", "cannot be made: TypeError"),
        (
            "def score(tokenizer, counts):\n    return lambda rows, ids: rows.float()[0]\n",
            r"returned \(3,\) for rows of shape \(2, 3\)",
        ),
    ],
)
def test_what_a_package_does_wrong_is_said(
    code: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "broken_score", code, {"broken": "broken_score:score"})
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("broken_score", None)
    rows, ids = torch.ones(2, 3, dtype=torch.int64), torch.arange(2)
    with pytest.raises(InputError, match=sentence):
        own_score("broken", word_tokenizer(10), np.ones(15))(rows, ids)
