"""The pages of experiments: the list, a new one from text to queue, a running one, its report."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from entromask.client import ApiError
from entromask.experiments import ExperimentSpec
from entromask.resources import ExperimentSummary, ProblemEntry
from entromask.spec import RunSpec
from frontend.parts.experiment import submission
from frontend.parts.experiment.draft import ExperimentDraft
from frontend.parts.experiment.forest import differences, forest
from frontend.parts.experiment.template import EXAMPLE, of_experiment, with_base
from frontend.parts.submit.spec_text import read
from tests.frontend.conftest import Open, words
from tests.frontend.fake import FakeClient, a_run, an_experiment
from tests.frontend.samples import plan, planned, summary

TWO = {"random": ("succeeded", "succeeded"), "self": ("succeeded", "succeeded")}
CONTROLLED = {
    "random": ("succeeded", "succeeded"),
    "no pretraining": ("succeeded", "succeeded"),
    "self": ("succeeded", "succeeded"),
}


def boards(app: AppTest) -> list[dict[str, Any]]:
    """What the tables of states were given."""
    found = [json.loads(shown.proto.json) for shown in app.get("bidi_component")]
    return [data for data in found if "rows" in data]


def rows(app: AppTest) -> list[list[dict[str, Any]]]:
    [board] = boards(app)
    found: list[list[dict[str, Any]]] = board["rows"]
    return found


def type_(app: AppTest, text: str) -> AppTest:
    """Types a text, as the editor in the browser reports it."""
    made: ExperimentDraft = app.session_state["experiment_draft"]
    made.typed(text, made.id, 0)
    return app.run()


def buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def reported(found: Any, **changes: Any) -> FakeClient:
    """A service with one experiment and its report."""

    def read(experiment: Any, format: str = "json") -> ExperimentSummary | str:
        return summary(found, **changes) if format == "json" else f"as {format}"

    return FakeClient(found, summary=read)


def chart(app: AppTest, place: int) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(app.get("vega_lite_chart")[place].proto.spec)
    return spec


# The list


def test_without_experiments_it_says_what_one_is_and_how_to_begin(open_page: Open) -> None:
    app = open_page("experiments", FakeClient())
    assert not app.exception
    assert "No experiments yet" in words(app)
    assert "New experiment" in buttons(app)


def test_the_list_shows_status_progress_and_failures_newest_first(open_page: Open) -> None:
    failed = an_experiment(1, {"random": ("succeeded", "failed")})
    going = an_experiment(2, {"random": ("succeeded", "running"), "self": ("queued", "queued")})
    [new, old] = rows(open_page("experiments", FakeClient(failed, going)))
    assert [item["text"] for item in new[:4]] == ["experiment 2", "running", "1 of 4", "0"]
    assert new[2]["fraction"] == 0.25
    assert [item["text"] for item in old[:4]] == ["experiment 1", "failed", "2 of 2", "1"]
    assert (old[1]["status"], old[3]["status"]) == ("failed", "failed")
    assert "fraction" not in old[2]
    assert new[0]["href"] == f"experiment?id={going.id}"


def test_a_search_that_finds_nothing_is_told_from_having_none(open_page: Open) -> None:
    app = open_page("experiments", FakeClient(an_experiment(1)), q="nothing like it")
    assert "No experiment holds these words" in words(app)


def test_of_many_experiments_the_first_are_shown_and_more_on_demand(open_page: Open) -> None:
    fake = FakeClient(*(an_experiment(number) for number in range(60)))
    app = open_page("experiments", fake)
    assert len(rows(app)) == 50
    app.button(key="more").click().run()
    assert len(rows(app)) == 60


def test_an_api_that_is_away_is_said_on_both_pages(open_page: Open) -> None:
    for name, query in (("experiments", {}), ("experiment", {}), ("experiment", {"id": "exp_1"})):
        fake = FakeClient(an_experiment(1))
        fake.away = True
        app = open_page(name, fake, **query)
        assert not app.exception
        assert "shows itself again" in words(app)


# A new one


def test_the_example_is_an_experiment_whose_every_method_is_a_valid_run() -> None:
    spec = ExperimentSpec.parse(yaml.safe_load(EXAMPLE))
    assert spec.baseline in spec.methods
    for chosen in spec.methods.values():
        preset = chosen["masking.preset"]
        run = RunSpec.parse(spec.base | {"name": "x", "masking": {"preset": preset}})
        assert run.resolved().masking.preset == preset


def test_a_plan_shows_cells_counts_costs_and_notes_before_anything_is_queued(
    open_page: Open,
) -> None:
    asked: list[Any] = []

    def plan_experiment(spec: Any) -> Any:
        asked.append(spec)
        return plan()

    app = open_page("experiments", FakeClient(plan_experiment=plan_experiment), new="1")
    assert not any("Queue" in label for label in buttons(app))
    app.button(key="plan").click().run()
    assert not app.exception
    assert asked == [yaml.safe_load(EXAMPLE)]
    said = words(app)
    assert "6 runs, 5 of them to be done, in 20 jobs" in said.replace("\\", "")
    assert "8.40e+11 FLOPs and 500 k tokens" in said.replace("\\", "")
    assert "1:30" in said.replace("\\", "")
    assert "<td>random, 1.46 x budget</td>" in said  # the control at the method's compute
    assert "1 of 2" in said
    assert "2 of at least 3 \\*seeds\\*" in said
    assert app.button(key="queue").label == "Queue 5 runs"


def test_only_the_text_that_was_planned_can_be_queued(open_page: Open) -> None:
    app = open_page("experiments", FakeClient(plan_experiment=plan()), new="1")
    app.button(key="plan").click().run()
    type_(app, EXAMPLE.replace("first", "second"))
    assert not any("Queue" in label for label in buttons(app))
    assert "has changed since it was planned" in words(app)
    type_(app, EXAMPLE)
    assert app.button(key="queue").label == "Queue 5 runs"


def test_a_refusal_names_the_key_its_line_and_the_hint_and_the_text_stays(open_page: Open) -> None:
    text = EXAMPLE.replace("baseline: random ", "baseline: best ")
    refusal = ApiError(
        "baseline 'best' is no method of this experiment",
        "one of: random, self-entropy",
        status=422,
        code="invalid_spec",
        errors=[
            ProblemEntry(
                pointer="/spec/baseline", detail="baseline 'best' is no method of this experiment"
            ),
            ProblemEntry(pointer="/spec/methods/self-entropy/seed", detail="no key"),
        ],
    )
    app = open_page("experiments", FakeClient(plan_experiment=refusal), new="1")
    type_(app, text)
    app.button(key="plan").click().run()
    assert not app.exception
    said = words(app).replace("\\", "")
    line = text.splitlines().index(next(s for s in text.splitlines() if s.startswith("baseline")))
    assert f"Line {line + 1}, baseline 'best' is no method" in said
    assert "methods.self-entropy.seed: no key" in said
    assert "one of: random, self-entropy" in said
    assert app.session_state["experiment_draft"].text == text
    [shown] = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    assert shown["text"] == text
    assert shown["marks"][0]["line"] == line + 1


def test_a_text_that_is_no_yaml_is_not_sent(open_page: Open) -> None:
    fake = FakeClient()
    app = open_page("experiments", fake, new="1")
    type_(app, "name: [")
    assert app.button(key="plan").disabled
    assert "line 1" in words(app).lower().replace("\\", "")
    assert "plan_experiment" not in fake.asked


def test_two_clicks_make_one_experiment(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    made = an_experiment(7, {"random": ("queued", "queued")})

    def create_experiment(spec: Any, **given: Any) -> Any:
        keys.append(given["idempotency_key"])
        return made

    went: list[str] = []
    monkeypatch.setattr(submission, "go", lambda page, **query: went.append(query["id"]))
    fake = FakeClient(made, plan_experiment=plan(), create_experiment=create_experiment)
    app = open_page("experiments", fake, new="1")
    app.button(key="plan").click().run()
    app.button(key="queue").click().run()
    assert went == [made.id]
    app.run()
    assert app.button(key="queue").disabled
    # The browser sent the second click before it knew of the first.
    app.session_state["experiment_draft"].made.clear()
    app.run()
    app.button(key="queue").click().run()
    assert len(keys) == 2
    assert keys[0] == keys[1]
    app.run()
    app.button(key="queue_again").click().run()
    app.button(key="queue").click().run()
    assert keys[2] != keys[0]


def test_another_text_is_another_experiment() -> None:
    one = ExperimentDraft()
    before = one.key()
    one.typed(EXAMPLE.replace("600", "700"), one.id, 0)
    assert one.key() != before


def test_a_refused_queueing_is_said_and_can_be_tried_again(open_page: Open) -> None:
    fake = FakeClient(
        plan_experiment=plan(),
        create_experiment=ApiError("the disk is full", "free some", status=507, code="full"),
    )
    app = open_page("experiments", fake, new="1")
    app.button(key="plan").click().run()
    app.button(key="queue").click().run()
    assert not app.exception
    assert "the disk is full" in words(app)
    assert not app.button(key="queue").disabled


def test_a_plan_without_new_runs_says_so(open_page: Open) -> None:
    done = plan(new=0, jobs=0, flops=0.0, tokens=0, seconds=0.0)
    app = open_page("experiments", FakeClient(plan_experiment=done), new="1")
    app.button(key="plan").click().run()
    assert "6 runs, all of them done already" in words(app)
    assert app.button(key="queue").label == "Make the report of these runs"


def test_what_is_compared_with_what_is_said_where_there_are_several_baselines(
    open_page: Open,
) -> None:
    cells = [
        planned("random, small", "baseline"),
        planned("random, large", "baseline"),
        planned("self, large", "method", baseline="random, large"),
    ]
    app = open_page("experiments", FakeClient(plan_experiment=plan(cells=cells)), new="1")
    app.button(key="plan").click().run()
    assert "Compared with" in words(app)
    assert "<td>random, large</td>" in words(app)


def test_the_base_of_a_run_replaces_that_of_the_text_and_leaves_masking_to_the_methods() -> None:
    run = a_run(1, preset="frequency", spec={"pretraining": {"budget": {"steps": 77}}, "seed": 5})
    text = with_base(read(EXAMPLE), run)
    found = yaml.safe_load(text)
    assert found["base"]["pretraining"]["budget"] == {"steps": 77}
    assert not {"masking", "seed", "name"} & set(found["base"])
    assert found["methods"] == yaml.safe_load(EXAMPLE)["methods"]
    assert "# what the others are compared with" in text
    ExperimentSpec.parse(found)


def test_a_run_is_taken_as_base_on_the_page(open_page: Open) -> None:
    run = a_run(1, spec={"pretraining": {"budget": {"steps": 77}}})
    app = open_page("experiments", FakeClient(run), new="1")
    app.button(key="take_base").click().run()
    assert not app.exception
    data = yaml.safe_load(app.session_state["experiment_draft"].text)
    assert data["base"]["pretraining"]["budget"] == {"steps": 77}


def test_a_link_begins_with_an_experiment_or_with_a_run(open_page: Open) -> None:
    found = an_experiment(3, spec={"name": "there", "base": {"a": 1}, "seeds": [4], "matrix": {}})
    app = open_page("experiments", FakeClient(found), new="1", clone=found.id)
    assert yaml.safe_load(app.session_state["experiment_draft"].text) == {
        "name": "there",
        "base": {"a": 1},
        "seeds": [4],
    }
    run = a_run(1, spec={"pretraining": {"budget": {"steps": 77}}})
    app = open_page("experiments", FakeClient(run), base=run.id)
    assert "steps: 77" in app.session_state["experiment_draft"].text


def test_a_link_to_what_is_gone_leaves_the_page_usable(open_page: Open) -> None:
    app = open_page("experiments", FakeClient(), new="1", clone="exp_gone")
    assert not app.exception
    assert "exp\\_gone" in words(app)
    assert not app.button(key="plan").disabled


def test_a_cloned_text_is_planned_as_the_experiment_was() -> None:
    spec = ExperimentSpec.parse(yaml.safe_load(EXAMPLE))
    assert ExperimentSpec.parse(yaml.safe_load(of_experiment(spec.data()))) == spec


# One experiment


def test_the_matrix_shows_each_run_with_word_and_sign_and_a_way_to_it(open_page: Open) -> None:
    found = an_experiment(1, {"random": ("succeeded", "running"), "self": ("queued", "failed")})
    app = open_page("experiment", FakeClient(found, summary=summary(found)), id=found.id)
    assert not app.exception
    [board] = boards(app)
    assert board["head"] == ["Method", "seed 0", "seed 1"]
    [random, self_] = board["rows"]
    assert (random[0]["text"], random[0]["below"]) == ("random", "baseline")
    assert [(item["text"], item["status"]) for item in random[1:]] == [
        ("succeeded", "succeeded"),
        ("running", "running"),
    ]
    assert random[2]["below"] == "pretraining 25 %"
    assert random[1]["href"] == f"run?id={found.cells[0].runs[0].id}"
    assert self_[2]["status"] == "failed"
    [progress] = app.get("progress")
    assert progress.proto.text == "2 of 4 runs over: 1 running, 1 queued, 1 succeeded, 1 failed"


def test_a_teacher_has_one_run_and_a_deleted_run_is_told(open_page: Open) -> None:
    found = an_experiment(
        1, {"teacher": ("succeeded",), "random": ("succeeded",), "self": ("succeeded", "succeeded")}
    ).model_copy(update={"total": 5, "status": "failed"})
    app = open_page("experiment", FakeClient(found, summary=summary(found)), id=found.id)
    [teacher, random, _] = rows(app)
    assert (teacher[2]["text"], teacher[2].get("below")) == ("–", None)
    assert (random[2]["text"], random[2]["below"]) == ("–", "deleted")
    assert "1 deleted" in words(app)
    assert "Retry 1 run" in buttons(app)


def test_a_run_that_was_there_before_says_so(open_page: Open) -> None:
    found = an_experiment(1, TWO)
    found.cells[0].runs[1].reused = True
    [random, _] = rows(open_page("experiment", reported(found), id=found.id))
    assert random[2]["below"] == "reused"


def test_before_the_first_result_the_report_says_when_it_begins(open_page: Open) -> None:
    going = an_experiment(1, {"random": ("running", "queued")})
    fake = FakeClient(going)
    app = open_page("experiment", fake, id=going.id)
    assert not app.exception
    assert "begins with the first run that succeeds" in words(app)
    assert "summary" not in fake.asked
    failed = an_experiment(1, {"random": ("failed", "failed")})
    app = open_page("experiment", FakeClient(failed), id=failed.id)
    assert "nothing to report" in words(app)


def test_an_experiment_that_moves_reads_its_report_again_when_a_run_has_ended(
    open_page: Open,
) -> None:
    going = an_experiment(1, {"random": ("succeeded", "running"), "self": ("queued", "queued")})
    fake = reported(going)
    app = open_page("experiment", fake, id=going.id)
    assert fake.asked.count("summary") == 1
    fake.experiments[going.id] = an_experiment(
        1, {"random": ("succeeded", "running"), "self": ("running", "queued")}
    )
    app.run()
    assert fake.asked.count("summary") == 1
    fake.experiments[going.id] = an_experiment(
        1, {"random": ("succeeded", "succeeded"), "self": ("running", "queued")}
    )
    app.run()
    assert fake.asked.count("summary") == 2


def test_what_cannot_be_done_now_is_not_offered(open_page: Open) -> None:
    def offered(found: Any) -> set[str]:
        app = open_page("experiment", reported(found), id=found.id)
        return {b.key for b in app.button if b.key in ("cancel", "retry", "delete")}

    assert offered(an_experiment(1, {"random": ("running", "queued")})) == {"cancel"}
    assert offered(an_experiment(1, {"random": ("running", "failed")})) == {"cancel", "retry"}
    assert offered(an_experiment(1, {"random": ("succeeded", "failed")})) == {"retry", "delete"}
    assert offered(an_experiment(1, TWO)) == {"delete"}


def test_cancel_and_retry_are_done_and_told(open_page: Open) -> None:
    done: list[str] = []
    found = an_experiment(1, {"random": ("running", "failed")})
    fake = FakeClient(
        found,
        cancel_experiment=lambda one: done.append(f"cancel {one.id}"),
        retry_experiment=ApiError("there is nothing to do", None, status=409, code="wrong_state"),
    )
    app = open_page("experiment", fake, id=found.id)
    app.button(key="cancel").click().run()
    assert done == [f"cancel {found.id}"]
    assert "is being cancelled" in app.toast[0].value
    app.button(key="retry").click().run()
    assert "there is nothing to do" in app.error[0].value


def test_seeds_are_added_by_a_small_form(open_page: Open) -> None:
    added: list[Any] = []
    found = an_experiment(1, TWO)
    fake = reported(found)
    fake.answers["extend_experiment"] = lambda one, seeds: added.append((one.id, seeds))
    app = open_page("experiment", fake, id=found.id)
    field = next(one for one in app.text_input if one.label == "More pretraining seeds")
    send = next(b for b in app.button if b.label == "Queue them")
    field.set_value("many")
    send.click().run()
    assert added == []
    assert "whole numbers" in words(app)
    field = next(one for one in app.text_input if one.label == "More pretraining seeds")
    send = next(b for b in app.button if b.label == "Queue them")
    field.set_value("2, 3")
    send.click().run()
    assert added == [(found.id, [2, 3])]


def test_a_deletion_asks_first_and_says_that_the_runs_stay(open_page: Open) -> None:
    deleted: list[str] = []
    found = an_experiment(1, TWO)
    fake = reported(found)
    fake.answers["delete_experiment"] = lambda one: deleted.append(one.id)
    app = open_page("experiment", fake, id=found.id)
    app.button(key="delete").click().run()
    assert deleted == []
    assert any("Its runs stay" in text.value for text in app.markdown)
    assert app.button(key="confirm").label == "Delete"


def test_an_experiment_that_is_gone_says_so(open_page: Open) -> None:
    app = open_page("experiment", FakeClient(), id="exp_gone")
    assert not app.exception
    assert "There is no experiment exp\\_gone" in words(app)


def test_the_way_back_from_a_run_shows_the_experiment_again(open_page: Open) -> None:
    found = an_experiment(1, TWO)
    app = open_page("experiment", reported(found), id=found.id)
    app.query_params["id"] = found.cells[0].runs[0].id
    app.run()
    assert found.name in words(app)
    app = open_page("experiment", reported(found), id="run_1")
    assert "There is no experiment run\\_1" in words(app)


def test_without_an_id_the_newest_is_shown(open_page: Open) -> None:
    app = open_page("experiment", reported(an_experiment(2, TWO)))
    assert app.query_params["id"] == an_experiment(2).id
    app = open_page("experiment", FakeClient())
    assert "There is no experiment yet" in words(app)


# Its report


def test_the_table_shows_means_marks_floors_and_costs(open_page: Open) -> None:
    found = an_experiment(1, CONTROLLED)
    given = summary(found)
    best = given.cells[2].results[0]
    best.best, best.collapsed, best.above_floors = True, 1, False
    app = open_page("experiment", FakeClient(found, summary=given), id=found.id)
    assert not app.exception
    said = words(app)
    assert "<strong>59.0 ± 1.0†‡</strong>" in said
    assert "1 of 2 collapsed" in said
    assert "majority class" in said
    assert "52.7" in said
    assert "2.00" in said  # FLOPs relative to the baseline
    assert "Holm" in said


def test_collapsed_runs_are_told_under_their_own_number(open_page: Open) -> None:
    found = an_experiment(1, {"teacher": ("succeeded",), **TWO})
    given = summary(found)
    given.measures[0].majority = given.measures[0].untrained = None  # no rows of floors
    given.cells[1].results[0].collapsed = 2
    given.cells[1].results[0].mean = 0.4321
    app = open_page("experiment", FakeClient(found, summary=given), id=found.id)
    [line] = {row for row in words(app).split("<tr>") if "2 of 2 collapsed" in row}
    assert "<td class='number'>43.2 ± 1.0<div class='below'>2 of 2 collapsed</div></td>" in line


def test_notes_and_warnings_come_before_the_numbers(open_page: Open) -> None:
    found = an_experiment(1, TWO)
    said = words(open_page("experiment", reported(found), id=found.id))
    note = said.index("before believing a \\*difference\\*")
    warning = said.index("repeat\\<\\/b\\>") if "repeat\\<\\/b\\>" in said else said.index("repeat")
    assert max(note, warning) < said.index("± 1.0")


def test_differences_are_those_of_the_measure_that_is_chosen(open_page: Open) -> None:
    found = an_experiment(1, CONTROLLED)
    app = open_page("experiment", reported(found), id=found.id)
    spec = chart(app, 0)
    assert spec["title"]["text"] == "Differences: RTE"
    assert "better to the right" in json.dumps(spec)
    assert "±" in words(app)
    assert "+4.0" in words(app)
    app.selectbox(key="measure").set_value("loss").run()
    assert not app.exception
    spec = chart(app, 0)
    assert spec["title"]["text"] == "Differences: validation loss"
    assert "better to the left" in json.dumps(spec)
    assert "−0.20" in words(app)


def test_the_plot_shows_scores_in_points_losses_in_nats_and_what_is_sure_filled() -> None:
    given = summary(an_experiment(1, CONTROLLED))
    for measure, sizes in zip(given.measures, ([2.0, 4.0, 4.0], [-0.1, -0.2, -0.2]), strict=True):
        found = differences(given, measure)
        found[0][1].p_holm = 0.5
        data = forest(found, measure).data["differences"]
        assert data["mean"] == pytest.approx(sizes)
        assert data["at"] == ["equal steps", "equal steps", "equal compute"]
        assert data["sure"] == [False, True, True]


def test_equal_compute_has_its_own_marks_and_table(open_page: Open) -> None:
    found = an_experiment(1, CONTROLLED)
    app = open_page("experiment", reported(found), id=found.id)
    kinds = chart(app, 0)["layer"][2]["encoding"]["shape"]["scale"]["domain"]
    assert len(kinds) == 2
    assert "At equal compute" in words(app)
    found = an_experiment(1, TWO)
    app = open_page("experiment", reported(found), id=found.id)
    assert "At equal compute" not in words(app)


def test_one_seed_has_no_interval_and_says_so(open_page: Open) -> None:
    found = an_experiment(1, {"random": ("succeeded",), "self": ("succeeded",)})
    app = open_page("experiment", reported(found, tests=0), id=found.id)
    assert not app.exception
    assert "no interval and no test" in words(app)
    assert "±" not in words(app).replace("Mean ±", "")


def test_without_a_finished_baseline_there_are_scores_and_no_difference(open_page: Open) -> None:
    found = an_experiment(1, {"random": ("failed", "failed"), "self": ("succeeded", "succeeded")})
    given = summary(found)
    for result in given.cells[1].results:
        result.differences.clear()
    app = open_page("experiment", FakeClient(found, summary=given), id=found.id)
    assert not app.exception
    assert "57.0 ± 1.0" in words(app)
    assert "None yet: a difference takes" in words(app)
    assert "Of 2 of 4 runs" in words(app)


def test_curves_have_a_line_a_method_and_a_band_where_there_are_seeds(open_page: Open) -> None:
    found = an_experiment(1, {"teacher": ("succeeded",), **TWO})
    app = open_page("experiment", reported(found), id=found.id)
    spec = chart(app, 1)
    assert spec["title"]["text"] == "Common validation loss"
    assert spec["layer"][1]["encoding"]["color"]["scale"]["domain"] == ["random", "self"]
    assert "area" in json.dumps(spec["layer"][0]["mark"])
    # The teacher is of another kind, and there to be chosen.
    app.multiselect(key="curves_of").set_value(["teacher"]).run()
    assert not app.exception
    assert chart(app, 1)["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["teacher"]


def test_a_report_without_measures_and_points_says_so(open_page: Open) -> None:
    found = an_experiment(1, TWO)
    given = summary(found, measures=[])
    for cell in given.cells:
        cell.curve, cell.results = [], []
    app = open_page("experiment", FakeClient(found, summary=given), id=found.id)
    assert not app.exception
    assert "have measured nothing" in words(app)
    assert "No points yet" in words(app)


def test_the_methods_paragraph_can_be_copied_and_the_report_taken_along(open_page: Open) -> None:
    found = an_experiment(1, TWO)
    app = open_page("experiment", reported(found), id=found.id)
    assert "We trained two methods with <two> seeds." in [code.value for code in app.code]
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels == ["Markdown", "LaTeX", "HTML", "CSV", "JSON"]
    assert "RTE takes 12 seeds" in words(app).replace("\\", "")


def test_names_that_look_like_markup_are_data(open_page: Open) -> None:
    name = "<script>alert(1)</script> **x**"
    found = an_experiment(1, {"random": ("succeeded",), name: ("succeeded",)}, name=name)
    app = open_page("experiment", reported(found), id=found.id)
    assert not app.exception
    said = words(app)
    assert "<script>" not in said
    assert "&lt;script&gt;" in said
    assert rows(app)[1][0]["text"] == name
    [listed] = rows(open_page("experiments", FakeClient(found)))
    assert listed[0]["text"] == name
