"""The parts of a run's page: curves, events, tables of results, the diff of its spec, its files."""

from __future__ import annotations

from typing import get_args

from entromask.resources import Artifact, Reason
from frontend.parts.charts import Mark, png
from frontend.parts.run.artifacts import command, folders
from frontend.parts.run.entropy_map import entropy_map
from frontend.parts.run.result_tables import cost_rows, mask_rows, top_types, validation_rows
from frontend.parts.run.run_curves import CURVES, KEYS, missing, there
from frontend.parts.run.run_events import cells_of, event_row, marks_of
from frontend.parts.run.run_head import REASONS, budget, facts, progress_words, took
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


def test_the_entropy_map_has_a_column_for_each_evaluation() -> None:
    events = [
        event(1, "histogram", step=250, metrics={"entropy": [0.25, 0.75], "highest": 8.0}),
        event(2, "metrics", step=250, metrics={"validation_loss": 6.0}),
        event(3, "histogram", step=500, metrics={"entropy": [0.5, 0.5], "highest": 8.0}),
    ]
    chart = entropy_map(events)
    assert chart is not None
    assert chart.data["cells"] == {
        "from": [0, 0, 250, 250],
        "x": [250, 250, 500, 500],
        "low": [0.0, 4.0, 0.0, 4.0],
        "high": [4.0, 8.0, 4.0, 8.0],
        "share": [0.25, 0.75, 0.5, 0.5],
    }
    assert png(chart, scale=1.0).startswith(b"\x89PNG")
    assert entropy_map(events[1:2]) is None


def test_of_many_evaluations_the_entropy_map_shows_some_the_last_one_among_them() -> None:
    metrics = {"entropy": [1.0], "highest": 8.0}
    chart = entropy_map([event(n, "histogram", step=n, metrics=metrics) for n in range(1, 1006)])
    assert chart is not None
    cells = chart.data["cells"]
    assert 60 < len(cells["x"]) <= 120
    assert cells["x"][-1] == 1005
    assert cells["from"] == [0, *cells["x"][:-1]]  # no gaps


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
    assert ["Selection collapsed at step", "never"] in mask_rows(
        results(diagnostics={"collapse_step": None})
    )
    assert ["Loss", "4.874 nats"] in validation_rows(results())
    assert ["Compute", "3.53 TFLOP"] in cost_rows(results())
    assert top_types(results()) == "the 1.7 %,  * 0.8 %"
    assert top_types({}) == ""


def test_what_was_not_measured_is_a_dash_with_the_reason() -> None:
    diagnostics = {
        "strategy_start_step": None,
        "distinct_type_share": 0.0,  # as earlier versions wrote it
        "frequent_type_share": None,
        "collapse_step": None,
        "tied_share": None,
    }
    rows = dict(mask_rows(results(diagnostics=diagnostics)))
    assert rows.pop("Masks by the strategy from step") == "never"
    assert len(rows) == 4
    assert set(rows.values()) == {"- (the strategy's masks never began)"}
    begun = dict(mask_rows(results(diagnostics={"strategy_start_step": 0, "tied_share": 0.125})))
    assert begun["Selection decided by ties between equal scores"] == "12.5 %"
    costs = dict(cost_rows(results(cost={"steps": 0, "tokens_per_second": None})))
    assert costs["Tokens per second"] == "- (not a step was trained)"


def test_the_last_agreement_of_stored_scores_stands_beside_its_floor() -> None:
    measured = [
        {"step": 100, "cache_agreement": 0.3, "cache_agreement_uniform": 0.15},
        {"step": 200, "cache_agreement": 0.625, "cache_agreement_uniform": 0.15},
    ]
    diagnostics = {"effective_type_ratio": 0.934, "collapse_step": 300, "cache_agreement": measured}
    rows = mask_rows(results(diagnostics=diagnostics))
    assert ["Stored scores select what fresh ones do", "62.5 % (uniform 15.0 %)"] in rows
    assert ["Effective token types / those of the corpus", "0.93"] in rows
    assert ["Selection collapsed at step", "300"] in rows
    never = mask_rows(results(diagnostics={"cache_agreement": []}))
    assert never == [["Stored scores select what fresh ones do", "not measured"]]


def test_a_run_tells_which_checkpoint_teaches_it_and_how_it_is_distilled() -> None:
    run = a_run(1)
    taught = {
        "teacher": {"run": "run_t", "path": None, "checkpoint": 1500},
        "distillation": {
            "weight": 0.5,
            "temperature": 2.0,
            "positions": "masked",
            "top_k": 16,
            "refresh": "cached",
        },
    }
    found = dict(facts(run.model_copy(update={"spec": run.spec | taught})))
    assert found["Teacher"].endswith(">run_t</a> at step 1,500")
    assert found["Distillation"] == "weight 0.5, temperature 2, masked positions, top 16, cached"
    assert "Distillation" not in dict(facts(run))


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
