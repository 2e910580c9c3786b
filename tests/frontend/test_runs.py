"""The page of all runs: what it shows in every state, what it asks of the API, what it does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from entromask.client import ApiError
from frontend.parts.actions import ACTIONS
from tests.frontend.conftest import Open, words
from tests.frontend.fake import FakeClient, a_run


def rows(app: AppTest) -> list[dict[str, Any]]:
    """The rows that the table of runs was given."""
    [shown] = app.get("bidi_component")
    found: list[dict[str, Any]] = json.loads(shown.proto.json)["rows"]
    return found


def select(app: AppTest, *ids: str) -> AppTest:
    """Ticks rows, as the table in the browser reports it."""
    app.session_state["ticked"] = list(ids)
    return app.run()


@pytest.fixture
def ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table reports what a test puts into the session as `ticked`."""
    import streamlit as st

    from frontend.parts import run_table

    real = run_table._component

    class Given:
        opened = None

        @property
        def selected(self) -> list[str]:
            chosen: list[str] = st.session_state.get("ticked", [])
            return chosen

    def component(**given: Any) -> Given:
        real(**given)
        return Given()

    monkeypatch.setattr(run_table, "_component", component)


def test_without_runs_it_says_how_to_make_the_first(open_page: Open) -> None:
    app = open_page("runs", FakeClient())
    assert not app.exception
    assert "No runs yet" in words(app)
    assert "entromask submit examples/quick.yaml" in words(app)


def test_a_filter_that_finds_nothing_is_told_from_having_no_runs(open_page: Open) -> None:
    app = open_page("runs", FakeClient(a_run(1)), q="nothing like it")
    assert "No run fits these filters" in words(app)


def test_a_running_run_shows_its_stage_progress_and_time_left(open_page: Open) -> None:
    [row] = rows(open_page("runs", FakeClient(a_run(1, "running"))))
    assert (row["status"], row["stage"], row["fraction"]) == ("running", "pretraining", 0.25)
    assert row["left"] == "1:15 left"


def test_a_failed_run_says_why(open_page: Open) -> None:
    [row] = rows(open_page("runs", FakeClient(a_run(1, "failed"))))
    assert (row["status"], row["why"]) == ("failed", "the GPU's memory was full")


def test_scores_are_the_means_of_glue_then_tasks_and_no_mean_of_other_tasks(
    open_page: Open,
) -> None:
    scores = {"rte": 0.561, "cola": 0.104, "glue8": 0.612, "available": 0.333, "demo": 0.5}
    [row] = rows(open_page("runs", FakeClient(a_run(1, scores=scores))))
    assert row["scores"] == ["GLUE-8 61.2", "rte 56.1", "cola 10.4"]


def test_the_newest_come_first_and_the_others_on_further_pages(open_page: Open) -> None:
    fake = FakeClient(*(a_run(number) for number in range(120)))
    app = open_page("runs", fake)
    assert [row["name"] for row in rows(app)] == [f"run {n}" for n in range(119, 69, -1)]
    app.button(key="older").click().run()
    assert rows(app)[0]["name"] == "run 69"
    app.button(key="older").click().run()
    assert [row["name"] for row in rows(app)] == [f"run {n}" for n in range(19, -1, -1)]
    assert app.button(key="older").disabled
    app.button(key="newer").click().run()
    assert rows(app)[0]["name"] == "run 69"
    app.button(key="newest").click().run()
    assert rows(app)[0]["name"] == "run 119"


def test_a_look_and_a_refresh_ask_for_one_list_each(open_page: Open) -> None:
    fake = FakeClient(*(a_run(number, "running") for number in range(60)))
    app = open_page("runs", fake)
    assert fake.asked == ["strategies", "runs_page"]
    fake.asked.clear()
    app.run()
    assert fake.asked == ["runs_page"]


def test_the_filters_of_the_url_are_those_of_the_list(open_page: Open) -> None:
    fake = FakeClient(
        a_run(1, preset="frequency"), a_run(2), a_run(3, "failed"), a_run(4, tags=["demo"])
    )
    assert [r["name"] for r in rows(open_page("runs", fake, status="failed"))] == ["run 3"]
    assert [r["name"] for r in rows(open_page("runs", fake, strategy="frequency"))] == ["run 1"]
    app = open_page("runs", fake, tag="demo")
    assert [r["name"] for r in rows(app)] == ["run 4"]
    assert app.text_input(key="tag").value == "demo"
    app.text_input(key="tag").set_value("").run()
    assert len(rows(app)) == 4


def test_a_link_to_the_seeds_of_a_method_shows_these_alone(open_page: Open) -> None:
    one, other = a_run(1, preset="frequency"), a_run(2)
    app = open_page("runs", FakeClient(one, other), group=one.group_hash)
    assert [row["id"] for row in rows(app)] == [one.id]
    assert f"Only the seeds of one method ({one.group_hash[:12]})" in words(app)
    app.button(key="without_group").click().run()
    assert len(rows(app)) == 2


def test_another_filter_starts_at_the_first_page(open_page: Open) -> None:
    fake = FakeClient(*(a_run(number) for number in range(60)))
    app = open_page("runs", fake)
    app.button(key="older").click().run()
    app.selectbox(key="status").set_value("succeeded").run()
    assert rows(app)[0]["name"] == "run 59"


def test_what_no_selected_run_takes_is_not_offered(open_page: Open, ticked: None) -> None:
    fake = FakeClient(a_run(1, "running"), a_run(2, "failed"), a_run(3))
    app = open_page("runs", fake)
    assert all(app.button(key=verb).disabled for verb in ("cancel", "resume", "retry", "delete"))
    select(app, a_run(1).id)
    offered = {verb for verb in ACTIONS if verb != "kill" and not app.button(key=verb).disabled}
    assert offered == {"cancel"}
    select(app, a_run(2).id, a_run(3).id)
    offered = {verb for verb in ACTIONS if verb != "kill" and not app.button(key=verb).disabled}
    assert offered == {"retry", "delete"}


def test_a_cancel_is_done_at_once_since_nothing_is_lost(open_page: Open, ticked: None) -> None:
    cancelled: list[str] = []
    fake = FakeClient(a_run(1, "running"), cancel=lambda run: cancelled.append(run.id))
    app = select(open_page("runs", fake), a_run(1).id)
    app.button(key="cancel").click().run()
    assert cancelled == [a_run(1).id]
    assert "is being cancelled" in app.toast[0].value


def test_a_deletion_asks_first_and_names_what_is_lost(open_page: Open, ticked: None) -> None:
    deleted: list[str] = []
    fake = FakeClient(a_run(1), a_run(2), delete_run=lambda run: deleted.append(run.id))
    app = select(open_page("runs", fake), a_run(1).id)
    app.button(key="delete").click().run()
    assert deleted == []
    assert any("scores and metrics are lost" in text.value for text in app.markdown)
    assert app.button(key="confirm").label == "Delete"


def test_an_action_that_fails_for_one_run_is_told_and_does_the_others(
    open_page: Open, ticked: None
) -> None:
    done: list[str] = []

    def cancel(run: Any) -> None:
        if run.id == a_run(2).id:  # the first of the two
            raise ApiError("it is over already", None, status=409, code="wrong_state")
        done.append(run.id)

    fake = FakeClient(a_run(1, "running"), a_run(2, "running"), cancel=cancel)
    app = select(open_page("runs", fake), a_run(1).id, a_run(2).id)
    app.button(key="cancel").click().run()
    assert done == [a_run(1).id]
    assert ["it is over already" in error.value for error in app.error] == [True]


def test_an_api_that_is_away_is_said_and_its_return_shows_the_runs(open_page: Open) -> None:
    fake = FakeClient(a_run(1))
    fake.away = True
    app = open_page("runs", fake)
    assert not app.exception
    assert "no Entromask service answers" in app.error[0].value
    assert "entromask up" in app.error[0].value
    assert "shows itself again" in words(app)
    fake.away = False
    app.run()
    assert not app.error
    assert len(rows(app)) == 1


def test_without_a_valid_key_it_asks_for_one(open_page: Open) -> None:
    import streamlit as st

    fake = FakeClient(a_run(1))
    real = fake.answers["strategies"]

    def strategies() -> Any:
        if st.session_state.get("entromask_key") != "em_secret":
            raise ApiError("this needs an API key", None, status=401, code="no_key")
        return real

    fake.answers["strategies"] = strategies
    app = open_page("runs", fake)
    assert [field.label for field in app.text_input] == ["API key"]
    app.text_input[0].set_value("em_wrong")
    app.button[0].click().run()
    assert "this needs an API key" in app.error[0].value
    app.text_input[0].set_value("em_secret")
    app.button[0].click().run()
    assert not app.error
    assert len(rows(app)) == 1


def test_names_that_look_like_markup_are_data(open_page: Open) -> None:
    name = "<script>alert(1)</script> **x**"
    [row] = rows(open_page("runs", FakeClient(a_run(1, name=name))))
    assert row["name"] == name
