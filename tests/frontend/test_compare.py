"""The page that compares: what is chosen stands in the URL, and every state says what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from entromask.resources import MetricHistory, Run
from tests.frontend.conftest import Open, field, words
from tests.frontend.fake import FakeClient, a_run
from tests.frontend.samples import comparison, history

A, B = a_run(1, name="random"), a_run(2, name="teacher", preset="frequency")


def fake_of(*runs: Run, **answers: Any) -> FakeClient:
    """A client whose comparison holds what is asked for, by group."""
    fake = FakeClient(*runs)

    def compare(**asked: Any) -> Any:
        fake.compared.append(asked)  # type: ignore[attr-defined]
        ids = asked.get("runs")
        named = (
            [fake.runs[id_] for id_ in ids]
            if ids
            else [
                run
                for run in runs
                if run.group_hash in asked["groups"] and run.status == "succeeded"
            ]
        )
        groups: dict[str, list[Run]] = {}
        for run in named:
            groups.setdefault(run.group_hash, []).append(run)
        return comparison(*groups.values())

    def metrics(run: str, **_: Any) -> MetricHistory:
        return history(
            run,
            validation_loss={100: 6.0, 200: 5.0},
            training_loss={10: 7.0},
            tokens={100: 1e5, 200: 2e5},
        )

    fake.compared = []  # type: ignore[attr-defined]
    fake.answers |= {"compare": compare, "metrics": metrics} | answers
    return fake


def both(fake: FakeClient) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = fake.compared  # type: ignore[attr-defined]
    return asked


def chart(app: AppTest) -> dict[str, Any]:
    [shown] = app.get("vega_lite_chart")
    spec: dict[str, Any] = json.loads(shown.proto.spec)
    return spec


def drawn(app: AppTest) -> list[str]:
    """The names of the lines."""
    names: list[str] = chart(app)["layer"][-1]["encoding"]["color"]["scale"]["domain"]
    return names


def test_without_finished_runs_it_says_what_to_do(open_page: Open) -> None:
    app = open_page("compare", fake_of(a_run(1, "running"), a_run(2, "failed")))
    assert not app.exception
    assert "no run has succeeded" in words(app)
    assert [link.proto.label for link in app.get("page_link")] == ["Submit a run"]


def test_with_nothing_chosen_it_offers_the_newest_of_each_method(open_page: Open) -> None:
    newer = a_run(3, name="random", spec={"seed": 1})
    fake = fake_of(A, B, newer)
    app = open_page("compare", fake)
    assert "Choose two or more runs" in words(app)
    app.button[0].click().run()
    assert not app.exception
    assert app.query_params["runs"] == f"{newer.id},{B.id}"
    assert drawn(app) == ["random", "teacher"]


def test_the_runs_of_the_url_are_compared(open_page: Open) -> None:
    fake = fake_of(A, B)
    app = open_page("compare", fake, runs=f"{A.id},{B.id}")
    assert not app.exception
    assert both(fake) == [{"runs": [A.id, B.id], "baseline": None, "format": "json"}]
    assert drawn(app) == ["random", "teacher"]
    said = words(app)
    assert "Run at least 3 seeds before believing a \\*difference\\*" in said
    assert "<strong>57.0 ± 1.2</strong>" in said
    assert "masking.preset" in said


def test_one_run_alone_is_allowed(open_page: Open) -> None:
    app = open_page("compare", fake_of(A), runs=A.id)
    assert not app.exception
    assert drawn(app) == ["random"]
    assert "Where the specs differ" not in words(app)


def test_a_run_that_is_not_finished_is_in_the_curves_alone(open_page: Open) -> None:
    going = a_run(3, "running", name="self", preset="self-entropy-sample")
    fake = fake_of(A, going)
    app = open_page("compare", fake, runs=f"{A.id},{going.id}")
    assert not app.exception
    assert both(fake)[0]["runs"] == [A.id]
    assert drawn(app) == ["random", "self"]
    assert "runs that have succeeded: self (running)" in words(app)


def test_failed_runs_alone_have_curves_and_no_table(open_page: Open) -> None:
    failed = a_run(1, "failed")
    fake = fake_of(failed)
    app = open_page("compare", fake, runs=failed.id)
    assert not app.exception
    assert drawn(app) == ["run 1"]
    assert "compare" not in fake.asked


def test_a_run_that_is_gone_is_told_of_and_left_out(open_page: Open) -> None:
    fake = fake_of(A)
    app = open_page("compare", fake, runs=f"{A.id},run_gone")
    assert not app.exception
    assert "There is no run run\\_gone; it is left out" in words(app)
    assert both(fake)[0]["runs"] == [A.id]


def test_what_is_chosen_on_the_page_goes_into_the_url(open_page: Open) -> None:
    fake = fake_of(A, B)
    app = open_page("compare", fake, runs=A.id)
    app.multiselect[0].set_value([A.id, B.id]).run()
    assert app.query_params["runs"] == f"{A.id},{B.id}"
    assert both(fake)[-1]["runs"] == [A.id, B.id]
    app.multiselect[0].set_value([]).run()
    assert "runs" not in app.query_params
    assert "Choose two or more runs" in words(app)


def test_a_baseline_is_named_by_any_run_of_its_method(open_page: Open) -> None:
    seed = a_run(3, name="random", spec={"seed": 1})
    fake = fake_of(A, B, seed)
    app = open_page("compare", fake, runs=f"{A.id},{B.id},{seed.id}", baseline=seed.id)
    assert both(fake)[-1]["baseline"] == A.id
    assert field(app.selectbox, "chosen_baseline").value == A.id
    field(app.selectbox, "chosen_baseline").set_value(B.id).run()
    assert app.query_params["baseline"] == B.id
    assert both(fake)[-1]["baseline"] == B.id
    field(app.selectbox, "chosen_baseline").set_value("").run()
    assert "baseline" not in app.query_params


def test_a_baseline_that_is_not_chosen_is_none(open_page: Open) -> None:
    fake = fake_of(A, B)
    open_page("compare", fake, runs=A.id, baseline=B.id)
    assert both(fake)[-1]["baseline"] is None


def test_groups_are_compared_with_all_their_seeds(open_page: Open) -> None:
    seed = a_run(3, name="random", spec={"seed": 1})
    fake = fake_of(A, B, seed)
    groups = f"{A.group_hash},{B.group_hash}"
    app = open_page("compare", fake, groups=groups, baseline=A.group_hash)
    assert not app.exception
    asked = both(fake)[-1]
    assert asked["groups"] == [A.group_hash, B.group_hash]
    assert asked["baseline"] == A.group_hash
    assert drawn(app) == ["random", "teacher"]
    assert "2 seeds" in words(app)
    assert "their mean, the band" in words(app)


def test_runs_become_their_groups_and_back(open_page: Open) -> None:
    seed = a_run(3, name="random", spec={"seed": 1})
    app = open_page("compare", fake_of(A, B, seed), runs=A.id)
    field(app.button_group, "by").set_value("methods, with all their seeds").run()
    assert app.query_params["groups"] == A.group_hash
    assert "runs" not in app.query_params
    field(app.button_group, "by").set_value("single runs").run()
    assert app.query_params["runs"] == f"{seed.id},{A.id}"


def test_an_unknown_group_is_left_out(open_page: Open) -> None:
    app = open_page("compare", fake_of(A), groups=f"{A.group_hash},feedbeef")
    assert not app.exception
    assert "No run has the group hash feedbeef" in words(app)


def test_a_link_holds_the_curve_and_its_axis(open_page: Open) -> None:
    query = {"runs": A.id, "curve": "Training loss", "over": "tokens"}
    app = open_page("compare", fake_of(A), **query)
    spec = chart(app)
    assert spec["title"]["text"] == "Training loss"
    encoding = spec["layer"][0]["encoding"]
    assert encoding["x"]["title"] == "tokens"
    assert encoding["y"]["title"].endswith("not comparable")
    app.selectbox(key="curve").set_value("Mean predictive entropy").run()
    assert "None of these runs has points of this yet" in words(app)


def test_another_curve_asks_the_api_for_nothing_more_of_finished_runs(open_page: Open) -> None:
    fake = fake_of(A, B)
    app = open_page("compare", fake, runs=f"{A.id},{B.id}")
    assert fake.asked.count("metrics") == 2
    fake.asked.clear()
    app.selectbox(key="curve").set_value("Training loss").run()
    assert fake.asked == ["runs_page"]


def test_thirty_seeds_are_one_line_and_one_column(open_page: Open) -> None:
    runs = [a_run(n, name="random", spec={"seed": n}) for n in range(30)]
    app = open_page("compare", fake_of(*runs), runs=",".join(run.id for run in runs))
    assert not app.exception
    assert drawn(app) == ["random"]
    assert "30 seeds" in words(app)


def test_the_table_can_be_taken_along_in_every_form(open_page: Open) -> None:
    app = open_page("compare", fake_of(A, B), runs=f"{A.id},{B.id}")
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels == ["Curves as PNG", "CSV", "Markdown", "LaTeX"]


def test_it_leads_to_the_masks_of_the_models(open_page: Open) -> None:
    going = a_run(3, "running", preset="self-entropy-sample")
    app = open_page("compare", fake_of(A, B, going), runs=f"{A.id},{B.id},{going.id}")
    ways = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert A.id in ways["Look into their masks"]
    assert B.id in ways["Look into their masks"]
    assert going.id not in ways["Look into their masks"]


@pytest.mark.parametrize("query", [{}, {"runs": A.id}])
def test_while_the_api_is_away_it_says_so_and_then_shows_itself_again(
    open_page: Open, query: dict[str, str]
) -> None:
    fake = fake_of(A)
    fake.away = True
    app = open_page("compare", fake, **query)
    assert not app.exception
    assert "This page shows itself again" in words(app)
    fake.away = False
    app.run()
    assert not app.exception
    assert "This page shows itself again" not in words(app)
    assert "Runs" in [field.label for field in app.multiselect]
