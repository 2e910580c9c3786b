"""The table of protocols, and what each does to a whole evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from entromask.analysis.diagnostics import warnings_for
from entromask.glue.evaluation import evaluate
from entromask.glue.floors import _key
from entromask.parts.evaluation import ProtocolName
from entromask.presets import PROTOCOLS, Protocol
from entromask.spec import Evaluation, RunSpec, TaskSource

SMALL: dict[str, Any] = {"batch_size": 16, "max_length": 32, "epochs": 2, "min_steps": 0}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocols with short trainings."""
    changes: dict[str, dict[str, Any]] = {
        "search": {"learning_rate": 1e-3, "rate_factors": (1e-6, 1.0, 1e6)},
        "paper-cards": {"learning_rate": 1e-3},
    }
    for name, protocol in PROTOCOLS.items():
        changed = replace(protocol, **SMALL, **changes.get(name, {}))
        monkeypatch.setitem(PROTOCOLS, name, changed)


def make(glue_dir: Path, protocol: ProtocolName, tasks: list[str], *seeds: int) -> Evaluation:
    source = TaskSource(local=str(glue_dir))
    return Evaluation(tasks=tasks, source=source, protocol=protocol, seeds=list(seeds))


def test_every_protocol_that_a_spec_can_name_is_there_and_described() -> None:
    assert set(PROTOCOLS) == set(get_args(ProtocolName))
    assert all(len(protocol.description) > 20 for protocol in PROTOCOLS.values())


def test_results_of_the_cards_protocol_stay_valid_when_protocols_get_new_fields() -> None:
    assert PROTOCOLS["paper-cards"].data() == {
        "learning_rate": 5e-5,
        "epochs": 50,
        "batch_size": 256,
        "warmup": 0.0,
        "weight_decay": 0.0,
        "max_length": 128,
        "max_steps": None,
        "patience": 3,
    }


@pytest.mark.parametrize(
    ("width", "rate"),
    # Published for ELECTRA-Small (256), BERT-base (768) and BERT-large (1024).
    [(128, 1e-3), (256, 3.1e-4), (384, 1.6e-4), (512, 9.9e-5), (768, 5e-5), (1024, 3.1e-5)],
)
def test_the_learning_rate_follows_the_width_of_the_model(width: int, rate: float) -> None:
    assert PROTOCOLS["fixed"].learning_rate_of(width) == rate
    assert PROTOCOLS["paper-cards"].learning_rate_of(width) == 5e-5


@pytest.mark.parametrize(
    ("rows", "epochs", "steps"),
    [(1, 200, 200), (33, 100, 200), (500, 13, 208), (1_500, 5, 235), (8_000, 3, 750)],
)
def test_small_training_sets_are_repeated_until_there_are_enough_steps(
    rows: int, epochs: int, steps: int
) -> None:
    fixed = PROTOCOLS["fixed"]
    assert (fixed.epochs_of(rows), fixed.steps(rows)) == (epochs, steps)
    assert replace(fixed, max_steps=100).steps(rows) == 100
    assert replace(fixed, min_steps=0).epochs_of(rows) == 3


def test_a_field_that_is_used_counts_and_words_do_not() -> None:
    fixed = PROTOCOLS["fixed"]
    changes: list[dict[str, Any]] = [
        {"rate_factors": (1.0,)},
        {"learning_rate": 1e-4},
        {"min_steps": 201},
        {"patience": 1},
        {"frozen_encoder": True},
        {"max_steps": 5},
    ]
    datas = [replace(fixed, **change).data() for change in changes]
    assert all(data != fixed.data() for data in datas)
    assert replace(fixed, description="other words").data() == fixed.data()


def test_only_the_protocol_of_the_cards_selects_on_the_reported_rows() -> None:
    assert [name for name, p in PROTOCOLS.items() if p.selects_on_reported] == ["paper-cards"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_selecting_on_the_reported_rows_is_warned_about(name: ProtocolName) -> None:
    def warned(tasks: list[str]) -> bool:
        spec = RunSpec.parse({"evaluation": {"protocol": name, "tasks": tasks}})
        return any("rows that it reports" in text for text in warnings_for({}, spec))

    assert warned(["rte", "blimp"]) == (name == "paper-cards")
    assert not warned(["blimp"])
    assert not warned([])


def test_a_selection_is_in_the_table_and_made_once_for_all_seeds(
    model_dir: Path, glue_dir: Path, tmp_path: Path, small: None
) -> None:
    steps: list[tuple[int, int]] = []
    tasks = evaluate(
        model_dir,
        make(glue_dir, "search", ["rte"], 0, 3),
        tmp_path,
        on_progress=lambda *step: steps.append(step),
    )
    selection = tasks["rte"]["selection"]
    assert selection["held_out_rows"] == 4
    assert list(selection["scores"]) == ["1e-09", "0.001", "1000.0"]
    assert (tmp_path / "rte-selection.json").is_file()
    # The first seed: three trainings of the selection and its own, of six steps each.
    done = [step for step, _ in steps]
    assert done == sorted(done)
    assert 75 < max(step for step in done if step < 100) < 100
    first = [step for step in done if 0 < step < 100]
    second = [step for step in done if 100 < step < 200]
    assert len(first) >= 3 * len(second)


def test_a_seed_on_its_own_selects_what_the_others_do(
    model_dir: Path, glue_dir: Path, tmp_path: Path, small: None
) -> None:
    evaluate(model_dir, make(glue_dir, "search", ["rte"], 0, 3), tmp_path / "all")
    evaluate(model_dir, make(glue_dir, "search", ["rte"], 3), tmp_path / "alone")
    for name in ("rte-seed3.json", "rte-selection.json"):
        alone, together = ((tmp_path / where / name).read_bytes() for where in ("alone", "all"))
        assert alone == together


@pytest.mark.parametrize("protocol", ["search", "paper-cards"])
def test_ax_takes_what_is_chosen_for_mnli(
    model_dir: Path, glue_dir: Path, tmp_path: Path, small: None, protocol: ProtocolName
) -> None:
    together = evaluate(model_dir, make(glue_dir, protocol, ["ax", "mnli"], 0), tmp_path / "both")
    alone = evaluate(model_dir, make(glue_dir, protocol, ["ax"], 0), tmp_path / "ax")
    assert alone["ax"] == together["ax"]
    mnli = evaluate(model_dir, make(glue_dir, protocol, ["mnli"], 0), tmp_path / "mnli")
    assert mnli["mnli"] == together["mnli"]
    key = "selection" if protocol == "search" else "stopping"
    assert together["ax"][key] == together["mnli"][key]


def test_the_epochs_of_every_seed_are_in_the_table(
    model_dir: Path, glue_dir: Path, tmp_path: Path, small: None
) -> None:
    tasks = evaluate(model_dir, make(glue_dir, "paper-cards", ["rte", "stsb"], 0, 3), tmp_path)
    for name in ("rte", "stsb"):
        stopping = tasks[name]["stopping"]
        assert list(stopping) == ["0", "3"]
        for record in stopping.values():
            assert record["epochs"] == len(record["losses"]) == 2
            best = record["losses"].index(min(record["losses"])) + 1
            assert record["best_epoch"] == best


@pytest.mark.parametrize("protocol", ["fixed", "frozen"])
def test_what_chooses_nothing_records_nothing(
    model_dir: Path, glue_dir: Path, tmp_path: Path, small: None, protocol: ProtocolName
) -> None:
    rte = evaluate(model_dir, make(glue_dir, protocol, ["rte"], 0), tmp_path)["rte"]
    assert not {"selection", "stopping"} & set(rte)
    assert {file.name for file in tmp_path.iterdir()} == {"rte-seed0.json"}


def test_each_protocol_gives_scores_of_its_own_and_blimp_is_the_same_under_all(
    model_dir: Path, glue_dir: Path, tmp_path: Path, small: None
) -> None:
    found = {}
    for protocol in get_args(ProtocolName):
        tasks = evaluate(
            model_dir, make(glue_dir, protocol, ["stsb", "blimp"], 0), tmp_path / protocol
        )
        found[protocol] = tasks["stsb"]["score"]
        blimp = (tmp_path / protocol / "blimp.json").read_bytes()
        assert blimp == (tmp_path / "fixed" / "blimp.json").read_bytes()
    assert len(set(found.values())) == len(PROTOCOLS)


def test_results_of_another_protocol_are_not_taken_over(
    model_dir: Path, glue_dir: Path, tmp_path: Path, small: None
) -> None:
    evaluate(model_dir, make(glue_dir, "fixed", ["rte"], 0), tmp_path)
    seen: list[str] = []
    evaluate(
        model_dir,
        make(glue_dir, "frozen", ["rte"], 0),
        tmp_path,
        on_result=lambda task, *_: seen.append(task),
        on_message=lambda _: None,
    )
    assert seen == ["rte"]


def test_floors_of_different_protocols_are_kept_apart(glue_dir: Path) -> None:
    keys = {
        _key({"version": 1}, make(glue_dir, name, ["rte"], 0)) for name in get_args(ProtocolName)
    }
    assert len(keys) == len(PROTOCOLS)


def test_a_protocol_needs_nothing_that_it_does_not_use() -> None:
    assert Protocol(1e-3, 1, 16, 0.1, 0.01, 32, 2) == replace(
        PROTOCOLS["fixed"],
        learning_rate=1e-3,
        epochs=1,
        min_steps=0,
        batch_size=16,
        max_length=32,
        max_steps=2,
    )
