"""A spec without its defaults resolves to the same spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import frontend
from entromask.presets import MASKING_PRESETS
from entromask.spec import HubTokenizer, RunSpec
from frontend.parts.submit.spec_short import START, shortened

FOLDER = Path(frontend.__file__).parents[1] / "examples"
# Of runs: those of experiments are another kind of file.
EXAMPLES = sorted(set(FOLDER.glob("*.yaml")) - set(FOLDER.glob("experiment-*.yaml")))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_come_back(path: Path) -> None:
    full = RunSpec.load(path).resolved().data()
    short = shortened(full)
    assert RunSpec.parse(short).resolved().data() == full
    assert len(str(short)) < 0.6 * len(str(full))


@pytest.mark.parametrize("preset", MASKING_PRESETS)
def test_a_masking_is_its_preset_and_what_differs(preset: str) -> None:
    given: dict[str, Any] = {"masking": {"preset": preset, "rate": 0.3, "corruption": [1, 0, 0]}}
    teacher = {"teacher": {"hub": "someone/model", "revision": "v1"}}
    full = RunSpec.parse(given | teacher).resolved().data()
    short = shortened(full)
    assert set(short["masking"]) == {"preset", "rate", "corruption"}
    # The tokenizer is the teacher's by itself.
    assert "tokenizer" not in short
    assert RunSpec.parse(short).resolved().data() == full


@pytest.mark.parametrize(
    "given",
    [
        {"masking": {"score": "frequency", "temperature": 3.0}},
        {"corpus": {"source": "hub", "name": "a/b", "split": "test"}, "seed": 7},
        {"corpus": {"source": "builtin", "max_tokens": 9}, "tokenizer": {"source": "train"}},
        {"tokenizer": {"source": "hub", "name": "a/b"}, "teacher": {"hub": "c/d"}},
        {"model": {"init": {"hub": "a/b"}}, "pretraining": {"budget": {"minutes": 1.5}}},
        {"teacher": {"hub": "a/b"}, "distillation": {}},
        {"teacher": {"hub": "a/b"}, "distillation": {"refresh": "cached", "weight": 0.9}},
        {"model": {"init": "teacher-complete"}, "teacher": {"hub": "a/b"}},
        {"masking": {"rate": {"schedule": "cyclic", "start": 0.2, "end": 0.4}, "unit": "span"}},
        {"model": {"architecture": "modernbert", "dropout": 0.1}},
        {"model": {"architecture": "bert", "dropout": 0.1}},
        {"pretraining": {"gradient_clipping": None}},
        {"evaluation": {"tasks": ["rte"], "floor": False, "source": {"local": ["/a"]}}},
    ],
    ids=str,
)
def test_what_differs_stays(given: dict[str, Any]) -> None:
    full = RunSpec.parse(given).resolved().data()
    assert RunSpec.parse(shortened(full)).resolved().data() == full


@pytest.mark.parametrize("at", [{}, {"checkpoint": 5}], ids=str)
def test_the_tokenizer_of_a_run_or_of_its_checkpoint_goes_without_saying(
    tmp_path: Path, at: dict[str, int]
) -> None:
    (tmp_path / "spec.yaml").touch()
    full = RunSpec.parse({"teacher": {"run": str(tmp_path)} | at, "distillation": {}}).resolved()
    short = shortened(full.data())
    assert "tokenizer" not in short
    assert short["distillation"] == {"weight": 0.5}
    assert RunSpec.parse(short).resolved() == full
    # That of another place stays.
    other = full.model_copy(update={"tokenizer": HubTokenizer(source="hub", name="a/b")})
    assert "tokenizer" in shortened(other.data())


def test_a_spec_of_another_version_is_left_as_it_is() -> None:
    assert shortened({"name": "a", "later": 1}) == {"name": "a", "later": 1}


def test_a_new_form_is_a_valid_spec_without_needless_keys() -> None:
    assert shortened(RunSpec.parse(START).resolved().data()) == START
