"""Comparisons: grouping, means and spreads, floors, ranking, what may not be compared."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest

from entromask.analysis import compare, read_run, render
from entromask.analysis.table import Comparison, Row
from entromask.analysis.wording import show_row
from entromask.errors import InputError
from entromask.glue.tasks import GLUE8
from tests.entromask.analysis import build


def row(comparison: Comparison, key: str) -> Row:
    return next(row for row in comparison.rows if row.key == key)


def keys(comparison: Comparison) -> list[str]:
    return [row.key for row in comparison.rows]


def test_one_run_shows_mean_and_deviation_over_its_fine_tuning_seeds() -> None:
    found = compare([build.run("random", {"rte": (0.55, 0.57, 0.59)})])
    (value,) = row(found, "rte").values
    assert value is not None
    assert value.mean == pytest.approx(0.57)
    assert value.sd == pytest.approx(0.02)


def test_the_spread_of_a_task_with_two_metrics_is_that_of_their_mean() -> None:
    run = build.run("random", {"mrpc": (0.70, 0.80)})
    run.results["tasks"]["mrpc"]["metrics"]["f1"] = {"per_seed": {"0": 0.90, "1": 0.80}}
    (value,) = row(compare([run]), "mrpc").values
    assert value is not None
    # Both seeds have a mean of 0.8, whatever their metrics.
    assert value.sd == pytest.approx(0.0)


def test_runs_of_one_group_share_a_column_with_the_spread_over_pretraining_seeds() -> None:
    runs = [
        build.run(f"random-s{seed}", {"rte": (score, score, score)}, group_hash="g")
        for seed, score in enumerate((0.54, 0.56, 0.61))
    ]
    found = compare([*runs, build.run("self", {"rte": (0.5, 0.5, 0.5)})])
    assert [(column.label, len(column.runs)) for column in found.columns] == [
        ("random", 3),
        ("self", 1),
    ]
    value = row(found, "rte").values[0]
    assert value is not None
    assert value.mean == pytest.approx(0.57)
    assert value.sd == pytest.approx(0.0360555)


def test_columns_of_the_same_name_stay_apart() -> None:
    found = compare([build.run("run", group_hash="a"), build.run("run", group_hash="b")])
    assert [column.label for column in found.columns] == ["run (1)", "run (2)"]


def test_the_best_is_marked_where_a_run_is_above_both_floors() -> None:
    found = compare(
        [
            build.run("a", {"rte": (0.56,), "sst2": (0.59,)}),
            build.run("b", {"rte": (0.55,), "sst2": (0.58,)}),
        ]
    )
    assert row(found, "rte").best == 0
    # Above the majority (0.509), below the same model without pretraining (0.60): no order.
    assert row(found, "sst2").best is None
    assert any("No ranking" in note and "sst2" in note for note in found.notes)


def test_there_is_no_ranking_at_all_when_no_run_is_above_the_floors() -> None:
    found = compare([build.run("a", {"rte": (0.52,)}), build.run("b", {"rte": (0.51,)})])
    assert row(found, "rte").best is None
    assert "No ranking: no run is above the floors on any task." in found.notes


def test_a_tie_has_no_best() -> None:
    found = compare([build.run("a", {"rte": (0.6,)}), build.run("b", {"rte": (0.6,)})])
    assert row(found, "rte").best is None


def test_means_of_equal_numbers_are_a_tie_and_differ_by_nothing() -> None:
    assert fmean([0.81] * 5) != 0.81
    seeds = [build.run(f"a-s{i}", {"rte": (0.81,)}, group_hash="a", loss=0.81) for i in range(5)]
    found = compare([*seeds, build.run("b", {"rte": (0.81,)}, loss=0.81)], baseline=5)
    assert row(found, "rte").best is None
    assert row(found, "loss").best is None
    assert show_row(found, row(found, "loss")) == ["+0.000", "0.810"]
    again = compare([*seeds, build.run("b", {"rte": (0.81,)}, loss=0.81)], baseline=0)
    assert show_row(again, row(again, "loss"))[1] == "+0.000"


def test_lower_losses_and_higher_accuracies_are_better() -> None:
    found = compare(
        [build.run("a", loss=4.9, accuracy=0.2), build.run("b", loss=4.8, accuracy=0.1)]
    )
    assert row(found, "loss").best == 1
    assert row(found, "accuracy").best == 0
    assert row(found, "unigram_loss").best is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"evaluation": {"tasks": ["rte"], "source": {"local": ["other"]}}}, "task source"),
        (
            {"evaluation": {"tasks": ["rte"], "source": {"local": ["glue"]}, "seeds": [0]}},
            "fine-tuning seeds",
        ),
    ],
)
def test_scores_of_different_set_ups_are_flagged_and_not_ranked(
    change: dict[str, object], word: str
) -> None:
    runs = [
        build.run("a", {"rte": (0.6,)}),
        build.run("b", {"rte": (0.7,)}, spec_changes=change),
    ]
    found = compare(runs)
    assert any("Scores are not comparable" in note and word in note for note in found.notes)
    assert row(found, "rte").best is None
    assert not row(found, "rte").comparable
    assert row(found, "loss").best is None or row(found, "loss").comparable


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"corpus": {"source": "local", "path": "other.txt"}}, "corpus"),
        ({"tokenizer": {"source": "train", "vocab_size": 4096}}, "tokenizer"),
        ({"pretraining": {"sequence_length": 64}}, "sequence length"),
    ],
)
def test_losses_compare_on_the_same_text_tokens_and_length_alone(
    change: dict[str, object], word: str
) -> None:
    found = compare([build.run("a", loss=4.9), build.run("b", loss=4.8, spec_changes=change)])
    assert any("Losses are not comparable" in note and word in note for note in found.notes)
    assert row(found, "loss").best is None


def test_scores_on_different_numbers_of_examples_are_not_comparable() -> None:
    runs = [build.run("a", {"rte": (0.6,)}), build.run("b", {"rte": (0.7,)})]
    runs[1].results["tasks"]["rte"]["rows"] = 100
    found = compare(runs)
    assert not row(found, "rte").comparable
    assert "Not comparable, scored on different examples: rte." in found.notes


def test_a_teachers_tokenizer_read_from_its_run_is_the_one_it_was_trained_with(
    tmp_path: Path,
) -> None:
    local = {"tokenizer": {"source": "local", "path": "x"}}
    folders = [
        build.write(tmp_path / "a", "a", {}),
        build.write(tmp_path / "b", "b", {}, spec_changes=local),
    ]
    for folder in folders:
        (folder / "model").mkdir()
        (folder / "model" / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    assert not any(
        "tokenizer" in note for note in compare([*map(read_run, map(str, folders))]).notes
    )
    (folders[1] / "model" / "tokenizer.json").write_text('{"model": {"vocab": {"b": 0}}}')
    assert any("tokenizer" in note for note in compare([*map(read_run, map(str, folders))]).notes)


def test_a_full_glue_mean_is_named_glue_8_and_never_stands_beside_a_partial_one() -> None:
    full = build.run("full", dict.fromkeys(GLUE8, (0.8,)))
    part = build.run("part", {"cola": (0.1,), "rte": (0.6,)})
    found = compare([full, part])
    whole = row(found, "glue8")
    assert whole.label == "GLUE-8 mean"
    assert whole.values[0] is not None
    assert whole.values[1] is None
    shared = row(found, "glue:cola+rte")
    assert shared.label == "GLUE mean of 2 tasks (cola, rte)"
    means = [value.mean for value in shared.values if value is not None]
    assert means == pytest.approx([0.8, 0.35])


def test_blimp_and_the_demo_tasks_are_in_no_glue_mean() -> None:
    found = compare([build.run("a", {"blimp": (0.6,), "demo-order": (0.7,), "demo-pair": (0.7,)})])
    assert not any(key.startswith("glue") for key in keys(found))


def test_the_floors_of_a_mean_are_the_means_of_the_floors() -> None:
    found = compare([build.run("a", {"rte": (0.6,), "cola": (0.1,)})])
    mean = row(found, "glue:cola+rte")
    assert mean.majority == pytest.approx(0.527 / 2)
    assert mean.untrained == pytest.approx((0.53 / 2, 0.53 / 2))


def test_a_mean_whose_floor_is_unknown_for_one_task_has_no_floor() -> None:
    run = build.run("a", {"rte": (0.6,), "cola": (0.1,)})
    run.results["tasks"]["cola"]["untrained_floor"] = None
    assert row(compare([run]), "glue:cola+rte").untrained is None


def test_a_run_on_the_plateau_says_never() -> None:
    found = compare([build.run("a", plateau_exit_step=None), build.run("b")])
    values = row(found, "plateau_exit_step").values
    assert values[0] is not None
    assert values[0].text == "never"
    assert values[1] is not None
    assert values[1].mean == 420


def test_the_masks_of_a_strategy_that_never_began_are_not_shown() -> None:
    never = {"strategy_start_step": None, "frequent_type_share": 0.0}
    found = compare([build.run("a", **never), build.run("b")])
    assert row(found, "frequent_type_share").values[0] is None
    start = row(found, "strategy_start_step").values[0]
    assert start is not None
    assert start.text == "never"


def test_methods_that_came_out_the_same_are_named() -> None:
    runs = [build.run("a"), build.run("b"), build.run("c", loss=4.0)]
    assert (
        "a and b have the very same validation results: their masks did not differ."
        in compare(runs).notes
    )
    seeds = [build.run("a-s0", group_hash="a"), build.run("a-s1", group_hash="a", loss=4.0)]
    assert not any("very same" in note for note in compare(seeds).notes)


def test_few_seeds_are_said_and_three_are_enough() -> None:
    def seeds(name: str, count: int) -> list[object]:
        return [build.run(f"{name}-s{i}", {"rte": (0.6,)}, group_hash=name) for i in range(count)]

    assert any("One pretraining seed" in note for note in compare(seeds("a", 1)).notes)  # type: ignore[arg-type]
    mixed = compare([*seeds("a", 3), *seeds("b", 2)])  # type: ignore[list-item]
    assert any("b (n = 2)" in note and "a (n" not in note for note in mixed.notes)
    enough = compare([*seeds("a", 3), *seeds("b", 3)])  # type: ignore[list-item]
    assert not any("seed" in note for note in enough.notes)


def test_a_lead_within_one_standard_deviation_is_said() -> None:
    close = [build.run("a", {"rte": (0.55, 0.65)}), build.run("b", {"rte": (0.58, 0.60)})]
    assert any("runner-up" in note for note in compare(close).notes)
    clear = [build.run("a", {"rte": (0.65, 0.65)}), build.run("b", {"rte": (0.58, 0.60)})]
    assert not any("runner-up" in note for note in compare(clear).notes)


def test_unmatched_compute_is_said_and_counts_the_teachers_scores() -> None:
    runs = [build.run("a"), build.run("b")]
    assert not any("Compute" in note for note in compare(runs).notes)
    runs[1].results["cost"]["scoring_flops"] = 0.6e14
    (note,) = [note for note in compare(runs).notes if "Compute" in note]
    assert "b used 1.50 times the FLOPs of a" in note


def test_compute_that_is_not_known_is_not_taken_for_none() -> None:
    runs = [build.run("a"), *(build.run(f"b-s{i}", group_hash="b", flops=f)
                              for i, f in enumerate((1.2e14, None)))]  # fmt: skip
    # The mean of the known ones is that of a; half of it would be "not matched".
    assert not any("Compute" in note for note in compare(runs).notes)
    assert row(compare(runs), "flops").values[1] == row(compare(runs), "flops").values[0]
    unknown = [build.run("a"), build.run("c", flops=None)]
    assert row(compare(unknown), "flops").values[1] is None
    assert not any("Compute" in note for note in compare(unknown).notes)


@pytest.mark.parametrize("style", ["text", "md", "latex"])
def test_what_was_not_measured_is_a_dash_and_the_reason_stands_below(style: str) -> None:
    never = {"strategy_start_step": None, "plateau_exit_step": None, "distinct_type_share": None}
    runs = [build.run("a"), build.run("b", frequent_type_share=0.0, **never)]
    found = compare(runs)
    for key in ("distinct_type_share", "frequent_type_share", "mask_repeat_rate"):
        assert row(found, key).values[1] is None
    text = " ".join(render(found, style).split())  # type: ignore[arg-type]
    assert "the strategy never began for b; every mask was random" in text
    assert "0.000" not in text


def test_a_run_without_scores_has_no_number_of_collapsed_tasks() -> None:
    runs = [
        build.run("a", {"rte": (0.5,)}, collapsed_tasks=["rte"]),
        build.run("b", {"rte": (0.6,)}),
        build.run("c"),
    ]
    values = row(compare(runs), "collapsed_tasks").values
    assert [None if value is None else value.mean for value in values] == [1.0, 0.0, None]


def test_a_task_without_a_score_is_named() -> None:
    found = compare([build.run("a", {"rte": (0.6,)})])
    assert "a has no score for cola." in found.notes


def test_a_warning_that_several_runs_give_is_said_once() -> None:
    runs = [build.run("a", warnings=["short"]), build.run("b", warnings=["short", "odd"])]
    assert compare(runs).warnings == ("a, b: short", "b: odd")


def test_a_run_given_twice_is_refused(tmp_path: Path) -> None:
    folder = build.write(tmp_path / "a", "a", {})
    with pytest.raises(InputError, match="twice"):
        compare([read_run(str(folder)), read_run(f"{folder}/../a")])


def test_an_unfinished_run_is_refused_with_the_way_to_finish_it(tmp_path: Path) -> None:
    folder = build.write(tmp_path / "a", "a", {})
    (folder / "results.json").unlink()
    with pytest.raises(InputError, match="has not finished") as caught:
        read_run(str(folder))
    assert "--resume" in str(caught.value.hint)


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_tokenizer_is_known_by_the_spec(tmp_path: Path, content: str) -> None:
    folders = [build.write(tmp_path / name, name, {}) for name in "ab"]
    for folder in folders:
        (folder / "model").mkdir()
        (folder / "model" / "tokenizer.json").write_text(content)
    assert not any(
        "tokenizer" in note for note in compare([*map(read_run, map(str, folders))]).notes
    )


def test_a_name_that_cannot_be_printed_makes_a_label_that_can() -> None:
    names = [" a\n\tb\x1b[2J ", "\x00"]
    labels = [column.label for column in compare([build.run(name) for name in names]).columns]
    assert labels == ["a b [2J", "unnamed"]


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_damaged_results_are_refused(tmp_path: Path, content: str) -> None:
    folder = build.write(tmp_path / "a", "a", {})
    (folder / "results.json").write_text(content)
    with pytest.raises(InputError, match="damaged"):
        read_run(str(folder))


def test_a_corpus_is_the_same_by_content_wherever_it_lies(tmp_path: Path) -> None:
    folders = [
        build.write(
            tmp_path / name,
            name,
            {},
            spec_changes={"corpus": {"source": "local", "path": f"{name}.txt"}},
        )
        for name in "ab"
    ]
    for folder in folders:
        (folder / "environment.json").write_text(json.dumps({"corpus": {"fingerprint": "f"}}))
    runs = [read_run(str(folder)) for folder in folders]
    assert not any("corpus" in note for note in compare(runs).notes)
