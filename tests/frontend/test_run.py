"""The page of one run: what it shows in every state, what it asks of the API, what it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from entromask.client import ApiError
from entromask.resources import Artifact, Event, Queue, Run, Validation
from tests.frontend.conftest import Open, words
from tests.frontend.fake import FakeClient, a_run
from tests.frontend.samples import event, history, results

CURVES = history(
    training_loss={10: 7.5, 20: 7.0},
    validation_loss={100: 6.1, 200: 5.4},
    unigram_loss={100: 6.17, 200: 6.17},
    tokens_per_second={10: 20_000.0},
)


def told(*events: Event) -> Callable[..., Iterator[Event]]:
    """What the events of a run are, whichever are asked for."""
    return lambda run, after=0, types=(): iter(events)


def fake_of(run: Run, **answers: Any) -> FakeClient:
    """A client of a service with one run."""
    given: dict[str, Any] = {
        "metrics": CURVES,
        "events": told(),
        "results": results(),
        "logs": "stage preparing\nstage pretraining\n",
        "artifacts": [],
    }
    return FakeClient(run, **(given | answers))


def with_teacher(teacher: str) -> Run:
    run = a_run(1)
    return run.model_copy(update={"spec": run.spec | {"teacher": {"run": teacher}}})


def charts(app: AppTest) -> dict[str, dict[str, Any]]:
    """The specifications of the charts, by title."""
    specs = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    return {spec["title"]["text"]: spec for spec in specs}


def buttons(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def test_without_an_id_it_is_the_newest_run(open_page: Open) -> None:
    fake = fake_of(a_run(2, "queued"), queue=queue(workers=1))
    fake.runs[a_run(1).id] = a_run(1)
    app = open_page("run", fake)
    assert not app.exception
    assert app.title[0].value == "run 2"
    assert app.query_params["id"] == a_run(2).id


def test_without_any_run_it_says_how_to_make_one(open_page: Open) -> None:
    app = open_page("run", FakeClient())
    assert not app.exception
    assert "There is no run yet" in words(app)


def test_an_unknown_id_is_told_of_and_leads_to_all_runs(open_page: Open) -> None:
    app = open_page("run", FakeClient(a_run(1)), id="run_of_*nobody*")
    assert not app.exception
    assert "There is no run run\\_of\\_\\*nobody\\*" in words(app)
    [link] = app.get("page_link")
    assert link.proto.label == "All runs"


def queue(workers: int, queued: int = 1) -> Queue:
    return Queue(broker="up", queued=queued, running=0, waiting=0, workers=workers)


def test_a_queued_run_says_what_it_waits_for(open_page: Open) -> None:
    run = a_run(1, "queued")
    app = open_page("run", fake_of(run, metrics=history(), queue=queue(2, queued=4)), id=run.id)
    assert not app.exception
    assert "Waiting for one of 2 workers, 3 other runs wait." in words(app)
    assert "The curves begin with the first steps" in words(app)
    app = open_page("run", fake_of(run, metrics=history(), queue=queue(0)), id=run.id)
    assert "No worker is alive" in words(app)


def test_a_running_run_shows_how_far_it_is_and_what_can_stop_it(open_page: Open) -> None:
    run = a_run(1, "running", worker="box-1")
    app = open_page("run", fake_of(run), id=run.id)
    assert not app.exception
    [bar] = app.get("progress")
    assert bar.proto.value == 25
    assert bar.proto.text == "pretraining, step 300 of 1,200, 25 %, 21 k tokens/s, 1:15 left"
    assert {"Cancel", "Kill", "Clone"} <= buttons(app)
    assert not {"Delete", "Resume", "Retry"} & buttons(app)
    assert "box-1" in words(app)


def test_every_curve_that_has_points_is_drawn_with_its_unit(open_page: Open) -> None:
    run = a_run(1, "running")
    app = open_page("run", fake_of(run), id=run.id)
    drawn = charts(app)
    assert list(drawn) == ["Common validation loss", "Training loss", "Speed"]
    encoding = drawn["Common validation loss"]["layer"][0]["encoding"]
    assert encoding["y"]["title"].startswith("nats")
    assert encoding["x"]["title"] == "step"
    assert encoding["color"]["scale"]["domain"] == ["this run", "word frequencies alone"]
    # And of the others it says when they come.
    assert "Still to come. Mean predictive entropy: with the first common validation" in words(app)


def test_the_plateau_is_marked_as_soon_as_it_is_left(open_page: Open) -> None:
    run = a_run(1, "running")
    left = event(1, "plateau", "left the unigram plateau", step=420)
    app = open_page("run", fake_of(run, events=told(left)), id=run.id)
    assert len(charts(app)["Training loss"]["layer"]) == 4  # line, points, rule, its words
    app = open_page("run", fake_of(run), id=run.id)
    assert len(charts(app)["Training loss"]["layer"]) == 2


def test_what_only_some_runs_measure_is_drawn_where_it_is_there(open_page: Open) -> None:
    run = a_run(1, "running")
    some = history(
        cross_entropy={10: 6.0},
        distillation_divergence={10: 2.0},
        effective_type_ratio={100: 0.9},
        cache_agreement={100: 0.6},
        cache_agreement_uniform={100: 0.15},
        cache_correlation={100: 0.8},
    )
    drawn = charts(open_page("run", fake_of(run, metrics=some), id=run.id))
    titles = ["Parts of the training loss", "Effective token types", "Stored against fresh scores"]
    assert list(drawn) == titles
    domain = drawn[titles[2]]["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert domain == [
        "selection in common",
        "uniform selection (floor)",
        "correlation of the scores",
    ]
    # A run without distillation and cache says nothing of them.
    said = words(open_page("run", fake_of(run), id=run.id))
    assert "Parts of the training loss" not in said
    assert "tored against fresh" not in said


def test_the_entropy_over_training_is_asked_for_when_it_is_opened(open_page: Open) -> None:
    asked: list[Sequence[str]] = []

    def events(run: str, after: int = 0, types: Sequence[str] = ()) -> Iterator[Event]:
        asked.append(types)
        metrics = {"entropy": [0.25, 0.75], "highest": 8.0}
        return iter([event(1, "histogram", step=100, metrics=metrics)] if not after else [])

    run = a_run(1)
    app = open_page("run", fake_of(run, events=events), id=run.id)
    assert asked == []
    assert "Entropy over training" not in charts(app)
    app.session_state["entropy_map"] = True
    app.run()
    assert asked == [("histogram",)]
    assert "Entropy over training" in charts(app)
    app = open_page("run", fake_of(run), id=run.id)
    app.session_state["entropy_map"] = True
    assert "No evaluation has measured it" in words(app.run())


def test_a_refresh_asks_for_what_may_have_changed_and_nothing_else(open_page: Open) -> None:
    run = a_run(1, "running")
    fake = fake_of(run)
    app = open_page("run", fake, id=run.id)
    assert sorted(fake.asked) == ["events", "get_run", "metrics"]
    fake.asked.clear()
    app.run()
    assert fake.asked == ["get_run"]
    fake.asked.clear()
    fake.runs[run.id] = a_run(1, "running", metrics={"training_loss": 6.9})
    app.run()
    assert sorted(fake.asked) == ["events", "get_run", "metrics"]


def test_the_overview_asks_only_for_the_events_it_tells_of(open_page: Open) -> None:
    asked: list[Sequence[str]] = []

    def events(run: str, after: int = 0, types: Sequence[str] = ()) -> Iterator[Event]:
        asked.append(types)
        return iter([])

    run = a_run(1, "running")
    open_page("run", fake_of(run, events=events), id=run.id)
    assert asked == [("plateau", "result")]


def test_only_new_events_are_asked_for(open_page: Open) -> None:
    asked: list[int] = []

    def events(run: str, after: int = 0, types: Sequence[str] = ()) -> Iterator[Event]:
        asked.append(after)
        return iter([event(after + 1, "stage", f"event {after + 1}")])

    run = a_run(1, "running")
    fake = fake_of(run, events=events)
    app = open_page("run", fake, id=run.id, tab="Events")
    fake.runs[run.id] = a_run(1, "running", metrics={"training_loss": 6.9})
    app.run()
    assert asked == [0, 1]
    assert "event 1" in words(app)
    assert "event 2" in words(app)


def test_a_run_that_ends_is_shown_with_its_results(open_page: Open) -> None:
    run = a_run(1, "running")
    fake = fake_of(run)
    app = open_page("run", fake, id=run.id)
    assert "Scores" not in words(app)
    fake.runs[run.id] = a_run(1, "succeeded")
    app.run()
    assert "57.0 ± 1.4" in words(app)
    assert not app.get("progress")
    assert "Delete" in buttons(app)
    fake.asked.clear()
    app.run()
    assert fake.asked == ["get_run"]


def test_a_failed_run_says_why_and_what_to_do_before_anything_else(open_page: Open) -> None:
    run = a_run(1, "failed")
    app = open_page("run", fake_of(run, logs="line 1\nOutOfMemory\n"), id=run.id)
    assert not app.exception
    [error] = app.error
    assert error.value.startswith("**The GPU's memory was full** (cuda\\_oom)")
    assert "**What to do:** halve pretraining" in error.value
    assert app.button(key="retry").proto.type == "primary"
    said = words(app)
    assert said.index("OutOfMemory") < said.index("Curves")


def test_the_warnings_of_its_diagnostics_stand_over_the_scores_as_they_are(
    open_page: Open,
) -> None:
    run = a_run(1, warnings=["only 3% of <b>positions</b> were *ever* predicted"])
    app = open_page("run", fake_of(run), id=run.id)
    [warning] = app.warning
    assert "\\<b\\>positions\\</b\\>" in warning.value
    assert "\\*ever\\*" in warning.value


def test_a_finished_run_shows_validation_masks_and_cost_in_words(open_page: Open) -> None:
    run = a_run(1)
    said = words(open_page("run", fake_of(run), id=run.id))
    assert "Loss after refitting the output bias alone" in said
    assert "4.739 nats" in said
    assert "Masked again in the next epoch" in said
    assert "3.53 TFLOP" in said
    assert "the 1\\.7 %" in said


def test_a_run_under_evaluation_shows_the_scores_there_are(open_page: Open) -> None:
    run = a_run(1, "running", stage="evaluating", spec={"evaluation": {"tasks": ["demo-pair"]}})
    done = event(1, "result", "demo-pair, fine-tuning seed 1", metrics={"accuracy": 0.602})
    app = open_page("run", fake_of(run, events=told(done)), id=run.id)
    assert not app.exception
    assert "1 of 4 evaluations done" in words(app)
    assert "60.2" in words(app)


def test_names_and_notes_are_no_markup(open_page: Open) -> None:
    run = a_run(1, name="<b>a</b> *b*", notes="see [this](x)", tags=["<i>"])
    said = words(open_page("run", fake_of(run), id=run.id))
    assert "\\<b\\>a\\</b\\> \\*b\\*" in said
    assert "see \\[this\\]\\(x\\)" in said
    assert "&lt;i&gt;" in said


def test_the_log_is_asked_for_in_its_tab_alone(open_page: Open) -> None:
    run = a_run(1, "running")
    fake = fake_of(run)
    open_page("run", fake, id=run.id)
    assert "logs" not in fake.asked
    fake = fake_of(run)
    app = open_page("run", fake, id=run.id, tab="Log")
    assert fake.asked == ["get_run", "logs"]
    assert "stage pretraining" in words(app)
    app = open_page("run", fake_of(run, logs=""), id=run.id, tab="Log")
    assert "The log is empty" in words(app)


def test_many_events_are_shown_from_the_newest_on(open_page: Open) -> None:
    run = a_run(1)
    many = [event(n, "metrics", f"number {n}.") for n in range(1, 2001)]
    app = open_page(
        "run",
        fake_of(run, events=told(*many)),
        id=run.id,
        tab="Events",
    )
    said = words(app)
    assert "2,000 events" in said
    assert said.index("number 2000.") < said.index("number 1999.")
    assert "number 1700." not in said


def test_the_spec_shows_what_it_changes_of_its_presets_defaults(open_page: Open) -> None:
    run = a_run(1, spec={"seed": 3, "pretraining": {"batch_size": 16}})
    asked: list[Any] = []

    def validate(spec: Any) -> Validation:
        asked.append(spec)
        return Validation.model_validate(
            {
                "spec": a_run(2).spec,
                "spec_hash": "",
                "group_hash": "",
                "estimate": {"basis": ""},
                "warnings": [],
            }
        )

    app = open_page("run", fake_of(run, validate_run=validate), id=run.id, tab="Spec")
    assert not app.exception
    said = words(app)
    assert asked == [{"masking": {"preset": "random"}}]
    assert "pretraining.batch_size</td><td>16</td><td>64" in said
    assert "2 keys differ" in said  # and the seed; not the name
    assert "batch_size: 16" in said
    app.run()
    assert len(asked) == 1


def test_a_preset_that_needs_a_teacher_is_asked_for_with_the_runs_own(open_page: Open) -> None:
    run = with_teacher("run_t")
    asked: list[Any] = []
    refusal = ApiError("the teacher run_t is gone", None, status=422, code="invalid_spec")

    def validate(spec: Any) -> None:
        asked.append(spec)
        raise refusal

    app = open_page("run", fake_of(run, validate_run=validate), id=run.id, tab="Spec")
    assert asked == [{"masking": {"preset": "random"}, "teacher": {"run": "run_t"}}]
    assert "the teacher run\\_t is gone" in words(app)
    assert "preset: random" in words(app)  # the spec itself is there


def test_the_environment_is_shown_by_its_parts(open_page: Open) -> None:
    content = {
        "versions": {"torch": "2.13.0"},
        "hardware": {"memory_bytes": 16_000_000_000, "gpus": []},
        "commit": "abc",
    }
    run = a_run(1)
    fake = fake_of(run, read_artifact=lambda run, path: json.dumps(content).encode())
    said = words(open_page("run", fake, id=run.id, tab="Environment"))
    assert "2.13.0" in said
    assert "16 GB" in said
    gone = ApiError("no file", None, status=404, code="not_found")
    fake = fake_of(run, read_artifact=gone)
    assert "Not known yet" in words(open_page("run", fake, id=run.id, tab="Environment"))


def test_a_file_is_fetched_when_it_is_asked_for_and_a_huge_one_by_command(
    open_page: Open,
) -> None:
    run = a_run(1)
    files = [
        Artifact(path="results.json", size=3_000, modified_at=run.created_at),
        Artifact(path="model/model.safetensors", size=400_000_000, modified_at=run.created_at),
    ]
    fake = fake_of(run, artifacts=files, read_artifact=b"{}")
    app = open_page("run", fake, id=run.id, tab="Files")
    assert not app.exception
    assert [button.proto.label for button in app.get("download_button")] == ["results\\.json"]
    assert "read_artifact" not in fake.asked
    assert f"entromask runs download {run.id} --path model/model.safetensors" in words(app)


def test_where_the_teacher_is_a_run_it_leads_to_it(open_page: Open) -> None:
    run = with_teacher("run_t")
    app = open_page("run", fake_of(run), id=run.id)
    ways = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert ways["Its teacher"] == "id=run_t"
    assert "baseline=run_t" in ways["Compare with its teacher"]
    assert run.group_hash in ways["All seeds of this method"]
    assert run.id in ways["Look into its masks"]


def test_an_edit_sends_what_was_changed_and_nothing_else(open_page: Open) -> None:
    sent: list[dict[str, Any]] = []
    run = a_run(1, "running", notes="as it was")
    fake = fake_of(run, update_run=lambda id, **changes: sent.append(changes))
    app = open_page("run", fake, id=run.id)
    app.text_area[0].set_value("and why")
    next(button for button in app.button if button.label == "Save").click().run()
    assert sent == [{"name": None, "tags": None, "notes": "and why"}]
    app.text_input[0].set_value("a better name")
    next(button for button in app.button if button.label == "Save").click().run()
    assert sent[1]["name"] == "a better name"


def test_a_name_of_spaces_is_not_sent(open_page: Open) -> None:
    run = a_run(1)
    fake = fake_of(run)
    app = open_page("run", fake, id=run.id)
    app.text_input[0].set_value("  ")
    next(button for button in app.button if button.label == "Save").click().run()
    assert "update_run" not in fake.asked
    assert "A run needs a name" in words(app)


def test_a_cancelled_run_can_be_resumed(open_page: Open) -> None:
    resumed: list[str] = []
    run = a_run(1, "cancelled")
    app = open_page("run", fake_of(run, resume=lambda run: resumed.append(run.id)), id=run.id)
    app.button(key="resume").click().run()
    assert resumed == [run.id]


def test_a_deletion_asks_first_and_names_what_is_lost(open_page: Open) -> None:
    run = a_run(1)
    fake = fake_of(run)
    app = open_page("run", fake, id=run.id)
    app.button(key="delete").click().run()
    assert "delete_run" not in fake.asked
    assert any("scores and metrics are lost" in text.value for text in app.markdown)
    assert app.button(key="confirm").label == "Delete"


@pytest.mark.parametrize("status", ["running", "failed", "succeeded"])
def test_while_the_api_is_away_it_says_so_and_then_shows_itself_again(
    open_page: Open, status: str
) -> None:
    run = a_run(1, status)
    fake = fake_of(run)
    fake.away = True
    app = open_page("run", fake, id=run.id)
    assert not app.exception
    assert "This page shows itself again" in words(app)
    fake.away = False
    app.run()
    assert not app.exception
    assert "This page shows itself again" not in words(app)
    assert app.title[0].value == "run 1"
