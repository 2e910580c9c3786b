"""The parts of a run's page: curves, events, tables of results, the diff of its spec, its files."""

from __future__ import annotations

from typing import get_args

from entromask.resources import Artifact, Reason
from frontend.parts.charts import Mark
from frontend.parts.run.artifacts import command, folders
from frontend.parts.run.result_tables import cost_rows, mask_rows, top_types, validation_rows
from frontend.parts.run.run_curves import CURVES, KEYS, missing, there
from frontend.parts.run.run_events import cells_of, event_row, marks_of
from frontend.parts.run.run_head import REASONS, budget, progress_words, took
from frontend.parts.run.spec_diff import differences, flat, shown
from tests.frontend.fake import NOW, a_run
from tests.frontend.samples import event, history, results


def test_every_reason_of_a_failure_has_words() -> None:
    assert set(REASONS) == set(get_args(Reason))


def test_a_chart_is_there_as_soon_as_its_metric_has_a_value() -> None:
    loss = CURVES[0]
    assert not there(loss, history())
    assert not there(loss, history(unigram_loss={100: 6.1}))
    assert not there(loss, history(validation_loss={100: None}))
    assert there(loss, history(validation_loss={100: 6.1}))


def test_of_charts_that_are_missing_it_says_when_they_come_or_why_they_did_not() -> None:
    some = history(training_loss={10: 7.0})
    assert "speed: with the first steps" in missing(some, over=False)
    assert "Training loss" not in missing(some, over=False)
    assert "no row of the corpus came again" in missing(some, over=True)
    assert missing(history(**{key: {10: 1.0} for key in KEYS}), over=True) == ""


def test_the_plateau_is_marked_from_the_results_or_while_it_runs_from_its_event() -> None:
    run = a_run(1)
    found = {"diagnostics": {"plateau_exit_step": 420, "strategy_start_step": 0}}
    assert marks_of(run, found, []) == [Mark(420, "plateau left")]
    assert marks_of(run, None, [event(1, "plateau", step=300)]) == [Mark(300, "plateau left")]
    assert marks_of(run, None, [event(1, "metrics", step=300)]) == []
    later = {"diagnostics": {"plateau_exit_step": 420, "strategy_start_step": 600}}
    assert marks_of(run, later, [])[1] == Mark(600, "strategy begins")
    waits = a_run(1, preset="self-entropy-sample")
    both = {"diagnostics": {"plateau_exit_step": 420, "strategy_start_step": 420}}
    assert marks_of(waits, both, []) == [Mark(420, "plateau left, strategy begins")]
    left = [event(1, "plateau", step=420)]
    assert marks_of(waits, None, left) == [Mark(420, "plateau left, strategy begins")]
    never = {"diagnostics": {"plateau_exit_step": None, "strategy_start_step": None}}
    assert marks_of(run, never, []) == []


def test_evaluations_that_are_done_are_counted_with_their_scores() -> None:
    spec = {
        "evaluation": {
            "tasks": ["mrpc", "blimp"],
            "seeds": [0, 1],
            "floor": True,
            "source": {"local": ["/glue"]},
        }
    }
    run = a_run(1, "running", spec=spec)
    events = [
        event(1, "result", "mrpc, fine-tuning seed 1", metrics={"accuracy": 0.7, "f1": 0.8}),
        event(2, "result", "mrpc, without pretraining", metrics={"untrained_floor": 0.66}),
        event(3, "result", "blimp", metrics={"accuracy": 0.61}),
        event(4, "warning", "mrpc, fine-tuning seed 0"),
    ]
    head, rows, done, total = cells_of(run, events)
    assert head == ["Task", "seed 0", "seed 1", "untrained"]
    assert rows == [["mrpc", "…", "75.0", "66.0"], ["blimp", "61.0", "", "…"]]
    assert (done, total) == (3, 5)


def test_an_event_is_told_in_words_with_its_numbers() -> None:
    one = event(7, "metrics", step=1200, stage="pretraining", metrics={"loss": 5.65749, "n": 3})
    assert event_row(one) == [
        "2026-01-01 00:00:07",
        "metrics",
        "pretraining",
        "1,200",
        "loss = 5.6575, n = 3",
    ]


def test_what_never_happened_is_said_and_what_is_unknown_is_left_out() -> None:
    never = results(diagnostics={"plateau_exit_step": None})
    assert ["Unigram plateau left at step", "never"] in mask_rows(never)
    assert mask_rows({}) == []
    assert ["Loss", "4.874 nats"] in validation_rows(results())
    assert ["Compute", "3.53 TFLOP"] in cost_rows(results())
    assert top_types(results()) == "the 1.7 %,  * 0.8 %"
    assert top_types({}) == ""


def test_specs_differ_by_key_without_name_and_tags() -> None:
    ours = {"name": "a", "tags": ["x"], "seed": 1, "model": {"size": "tiny", "init": "scratch"}}
    theirs = {"name": "b", "tags": [], "seed": 0, "model": {"size": "mini", "init": "scratch"}}
    assert differences(ours, theirs) == [("seed", 1, 0), ("model.size", "tiny", "mini")]
    assert differences(ours, ours) == []


def test_a_part_that_one_spec_leaves_out_differs_by_its_keys() -> None:
    with_teacher = {"teacher": {"run": "run_t", "path": None}}
    assert differences(with_teacher, {"teacher": None}) == [("teacher.run", "run_t", None)]
    assert flat({"a": {"b": {"c": 1}}, "d": []}) == {"a.b.c": 1, "d": []}


def test_values_of_a_spec_are_shown_without_quotes() -> None:
    assert [shown(value) for value in (None, "mini", 0.001, 3, True, [], ["rte", 1])] == [
        "–",
        "mini",
        "0.001",
        "3",
        "true",
        "none",
        "rte, 1",
    ]


def test_files_stand_by_folder_the_wanted_ones_first() -> None:
    paths = ["checkpoints/step-5/state.json", "evaluation/a.json", "model/config.json", "log.txt"]
    found = folders([Artifact(path=path, size=1, modified_at=0.0) for path in paths])
    assert list(found) == ["", "model", "checkpoints/step-5", "evaluation"]


def test_the_command_for_a_file_can_be_pasted_into_a_shell() -> None:
    assert command("run_1", "a b/c.bin").endswith("--path 'a b/c.bin'")


def test_progress_is_told_by_what_is_known() -> None:
    run = a_run(1, "running")
    assert progress_words(run).startswith("pretraining, step 300 of 1,200, 25 %")
    assert progress_words(a_run(1, "running", progress=None)) == "pretraining"
    assert progress_words(a_run(1, "running", progress=None, stage=None)) == "starting"


def test_budgets_and_times_are_in_words() -> None:
    assert budget({"steps": 3000, "epochs": None, "minutes": None}) == "3,000 steps"
    assert budget({"tokens": 12_000_000}) == "12,000,000 tokens"
    assert took(a_run(1, "queued")) == "–"
    assert took(a_run(1)) == "1:00"
    assert took(a_run(1, finished_at=NOW + 3_602 + 1)) == "1:00:01"
