"""Every shipped example is a valid spec that resolves, and says what its keys mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from entromask.demo import SIZES
from entromask.spec import RunSpec

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))


def test_the_examples_are_there() -> None:
    assert {"quick.yaml", "real-text.yaml", "adapt.yaml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_resolves(path: Path) -> None:
    assert RunSpec.load(path).resolved().spec_hash


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_starts_with_what_it_is_for_and_how_to_run_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert any(line.startswith(f"#   entromask run examples/{path.name}") for line in lines)


def test_the_overrides_that_the_real_text_example_names_are_accepted() -> None:
    spec = RunSpec.load(
        FOLDER / "real-text.yaml",
        [
            "corpus.path=text.txt.gz",
            "masking.preset=teacher-masked-entropy-sample",
            "teacher.path=model",
        ],
    ).resolved()
    assert (spec.masking.source, spec.masking.view) == ("teacher", "masked")


def test_the_quick_example_is_as_large_as_a_run_of_the_demo() -> None:
    quick = RunSpec.load(FOLDER / "quick.yaml").pretraining
    assert quick.budget.steps == SIZES["steps"]
    assert quick.sequence_length == SIZES["sequence_length"]
