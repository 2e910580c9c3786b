"""The entropy page: what it asks of the API, and what it shows of the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from entromask.presets import MASKING_PRESETS
from entromask.resources import Artifact
from entromask.rest.errors import ApiError
from frontend.parts.entropy.token_map import _name
from tests.frontend.a_preview import a_model, a_preview
from tests.frontend.conftest import Open, field, words
from tests.frontend.fake import FakeClient, a_run

ONE, TWO = a_model(1), a_model(2)


class Asked:
    """A preview worker that remembers the questions."""

    def __init__(self, **failing: Exception) -> None:
        self.questions: list[dict[str, Any]] = []
        self.failing = failing

    def __call__(self, text: str, model: Mapping[str, Any], **given: Any) -> dict[str, Any]:
        self.questions.append({"text": text, "model": dict(model)} | given)
        if error := self.failing.get(str(model["run"])):
            raise error
        return a_preview(text, model, **given)


def with_models(*models: Any, asked: Asked | None = None, **answers: Any) -> FakeClient:
    return FakeClient(models=list(models), preview=asked or Asked(), **answers)


def component(app: AppTest, name: str) -> dict[str, Any]:
    """What a component of the page was given."""
    for element in app.get("bidi_component"):
        if element.proto.component_name.endswith(name):
            data: dict[str, Any] = json.loads(element.proto.mixed.json or element.proto.json)
            return data
    raise AssertionError(f"no component {name}")


def refusal(status: int, code: str, message: str, hint: str | None = None) -> ApiError:
    return ApiError(message, hint, status=status, code=code)


def test_without_a_model_it_says_how_to_get_one(open_page: Open) -> None:
    app = open_page("entropy", with_models())
    assert not app.exception
    assert "no model to look at yet" in words(app)
    assert "register_model" in words(app)


def test_it_opens_on_the_two_newest_models_and_a_sample(open_page: Open) -> None:
    asked = Asked()
    app = open_page("entropy", with_models(TWO, ONE, a_model(3), asked=asked))
    assert not app.exception
    assert [one["model"]["run"] for one in asked.questions] == [TWO.id, ONE.id]
    assert app.text_area[0].value.startswith("When the file does not exist")
    panes = component(app, "token_map")["panes"]
    assert [pane["label"] for pane in panes] == ["model 2", "model 1"]
    assert app.query_params["model"] == [TWO.id, ONE.id]


def test_the_url_names_text_models_checkpoints_seed_rate_and_presets(open_page: Open) -> None:
    asked = Asked()
    app = open_page(
        "entropy",
        with_models(ONE, TWO, asked=asked),
        models=f"{TWO.id},{ONE.id}@600",
        text="a list",
        seed="3",
        rate="0.3",
        presets="self-entropy-sample",
    )
    assert not app.exception
    assert [one["model"] for one in asked.questions] == [
        {"run": TWO.id},
        {"run": ONE.id, "checkpoint": 600},
    ]
    assert {one["text"] for one in asked.questions} == {"a list"}
    rest = {"presets": ["self-entropy-sample"], "rate": 0.3, "seed": 3, "masked": ()}
    assert asked.questions[0].items() >= rest.items()
    labels = [pane["label"] for pane in component(app, "token_map")["panes"]]
    assert labels == ["model 2", "model 1, step 600"]


def test_models_of_one_name_are_told_apart_by_their_ids(open_page: Open) -> None:
    twin = a_model(2, name=ONE.name)
    app = open_page("entropy", with_models(ONE, twin))
    labels = [pane["label"] for pane in component(app, "token_map")["panes"]]
    assert labels == ["model 1 (000001)", "model 1 (000002)"]


def test_a_model_behind_the_listed_ones_is_asked_by_its_run(open_page: Open) -> None:
    asked, run = Asked(), a_run(7)
    fake = FakeClient(run, models=[ONE], preview=asked)
    app = open_page("entropy", fake, model=run.id)
    assert not app.exception
    assert [one["model"] for one in asked.questions] == [{"run": run.id}]
    assert component(app, "token_map")["panes"][0]["label"] == run.name


def test_a_short_text_goes_into_the_url_and_a_long_one_does_not(open_page: Open) -> None:
    app = open_page("entropy", with_models(ONE))
    assert "text" not in app.query_params
    app.text_area[0].set_value("a short text").run()
    assert app.query_params["text"] == "a short text"
    app.text_area[0].set_value("a long text " * 200).run()
    assert "text" not in app.query_params
    assert str(app.text_area[0].value).startswith("a long text")
    assert len(component(app, "token_map")["panes"][0]["position"]) == 602


@pytest.mark.parametrize("text", ["", " \n "])
def test_an_empty_text_is_not_sent(open_page: Open, text: str) -> None:
    asked = Asked()
    app = open_page("entropy", with_models(ONE, asked=asked))
    before = len(asked.questions)
    app.text_area[0].set_value(text).run()
    assert not app.exception
    assert "Write a sentence" in words(app)
    assert len(asked.questions) == before


def test_without_a_chosen_model_it_asks_for_one(open_page: Open) -> None:
    app = open_page("entropy", with_models(ONE))
    field(app.multiselect, "models").set_value([]).run()
    assert not app.exception
    assert "Choose a model" in words(app)
    app.run()
    assert field(app.multiselect, "models").value == []


def test_markup_in_text_and_names_is_shown_as_it_is(open_page: Open) -> None:
    text = "<script>alert(1)</script><b>x</b>"
    asked = Asked(**{ONE.id: refusal(422, "invalid_request", "text: *no* <b>token</b>")})
    models = (a_model(1, name="<i>one</i>"), a_model(2, name="*two*"))
    app = open_page("entropy", with_models(*models, asked=asked), text=text)
    assert not app.exception
    pane = component(app, "token_map")["panes"][0]
    assert "".join(piece for index, piece in pane["pieces"] if index >= -1) == text
    assert pane["label"] == "*two*"
    assert "\\<i\\>one" in words(app)
    assert "\\*no\\* \\<b\\>" in words(app)


def test_the_same_question_is_asked_once(open_page: Open) -> None:
    asked = Asked()
    app = open_page("entropy", with_models(ONE, TWO, asked=asked))
    app.run()
    assert len(asked.questions) == 2
    app.number_input("seed").set_value(5).run()
    assert len(asked.questions) == 4
    app.number_input("seed").set_value(0).run()
    assert len(asked.questions) == 4


def mask(app: AppTest, text: str, *spans: tuple[int, int]) -> None:
    """What the component sends when tokens are clicked."""
    state = {"text": _name(text), "spans": [list(span) for span in spans]}
    app.session_state["token_map"] = {"masked": state}
    app.run()


def test_clicked_tokens_are_masked_for_every_model_and_the_change_is_told(open_page: Open) -> None:
    asked, text = Asked(), "a list of words"
    app = open_page("entropy", with_models(ONE, TWO, asked=asked), text=text)
    mask(app, text, (2, 6))
    assert not app.exception
    assert [one["masked"] for one in asked.questions] == [(), (), [2], [2]]
    # What presets hide does not depend on the selection.
    assert asked.questions[2]["presets"] == ()
    data = component(app, "token_map")
    assert data["spans"] == [[2, 6]]
    assert data["panes"][0]["before"] == [None, 1.0, 1.0, 1.0, 1.0, None]
    assert "What the masks do" in words(app)
    tables = [element.proto.body for element in app.get("html")]
    assert any("<strong>list</strong>" in body and "0.250" in body for body in tables)
    assert any("+0.50" in body for body in tables)


def test_the_selection_of_another_text_masks_nothing(open_page: Open) -> None:
    asked = Asked()
    app = open_page("entropy", with_models(ONE, asked=asked), text="a list")
    mask(app, "another text", (0, 3))
    assert not app.exception
    assert [one["masked"] for one in asked.questions] == [()]
    assert component(app, "token_map")["spans"] == []


def test_rows_show_each_preset_and_why_one_has_no_masks(open_page: Open) -> None:
    app = open_page("entropy", with_models(ONE, TWO))
    app.multiselect("presets").set_value(["random", "frequency"]).run()
    assert not app.exception
    rows = component(app, "mask_rows")["rows"]
    assert [row["preset"] for row in rows] == ["random", "frequency"]
    assert [len(row["cells"]) for row in rows] == [2, 2]
    assert rows[0]["cells"][0]["positions"] == [1]
    assert "how often" in rows[1]["cells"][0]["error"]
    # A single selection agrees with nothing.
    assert "Agreement" not in words(app)


def test_two_presets_are_compared_and_none_asks_for_one(open_page: Open) -> None:
    app = open_page("entropy", with_models(ONE))
    app.multiselect("presets").set_value(["random", "self-entropy-sample"]).run()
    assert "Agreement" in words(app)
    assert any("0.25" in element.proto.body for element in app.get("html"))
    app.multiselect("presets").set_value([]).run()
    assert not app.exception
    assert "Choose presets" in words(app)
    assert "Agreement" not in words(app)


def test_a_model_with_one_selection_alone_has_no_matrix(open_page: Open) -> None:
    def preview(text: str, model: Mapping[str, Any], **given: Any) -> dict[str, Any]:
        answer = a_preview(text, model, **given)
        if model["run"] == TWO.id:
            answer["agreement"] = {
                "presets": ["random"],
                "overlap": [[1.0]],
                "chance": [[1.0]],
            }
        return answer

    app = open_page("entropy", FakeClient(models=[ONE, TWO], preview=preview))
    assert not app.exception
    tables = [element.proto.body for element in app.get("html")]
    matrices = next(body for body in tables if "em-matrices" in body)
    assert "model 1" in matrices
    assert "model 2" not in matrices


def test_every_preset_is_offered(open_page: Open) -> None:
    app = open_page("entropy", with_models(ONE))
    assert app.multiselect("presets").options == list(MASKING_PRESETS)


def test_the_share_of_the_run_is_asked_where_a_rate_changes_over_it(open_page: Open) -> None:
    asked = Asked()
    app = open_page("entropy", with_models(ONE, asked=asked))
    assert not app.select_slider
    app.multiselect("presets").set_value(["random", "rate-decay"]).run()
    assert not app.exception
    assert asked.questions[-1]["progress"] is None
    app.select_slider("progress").set_value("50 %").run()
    assert asked.questions[-1].items() >= {"progress": 0.5, "rate": None}.items()
    app.number_input("rate").set_value(0.2).run()
    assert not app.exception
    assert not app.select_slider, "a rate that is given stays as it is"
    assert asked.questions[-1].items() >= {"progress": None, "rate": 0.2}.items()


def test_the_url_names_the_share_of_the_run(open_page: Open) -> None:
    asked = Asked()
    app = open_page(
        "entropy", with_models(ONE, asked=asked), presets="time-variant", progress="100 %"
    )
    assert not app.exception
    assert asked.questions[-1]["progress"] == 1.0


def test_a_model_that_fails_does_not_hide_the_others(open_page: Open) -> None:
    broken = refusal(422, "invalid_request", "the weights are damaged", "train it again")
    asked = Asked(**{ONE.id: broken})
    app = open_page("entropy", with_models(ONE, TWO, asked=asked))
    assert not app.exception
    assert "model 1" in app.error[0].value
    assert "the weights are damaged" in app.error[0].value
    assert "train it again" in app.error[0].value
    assert [pane["label"] for pane in component(app, "token_map")["panes"]] == ["model 2"]


def test_an_answer_that_takes_too_long_is_waited_for_again_only_when_asked(open_page: Open) -> None:
    late = refusal(504, "preview_timeout", "no preview worker answered within 60 s")
    asked = Asked(**{ONE.id: late})
    app = open_page("entropy", with_models(ONE, asked=asked))
    app.run()
    assert len(asked.questions) == 1
    assert "within 60 s" in app.error[0].value
    asked.failing.clear()
    next(button for button in app.button if button.label == "Ask again").click().run()
    assert not app.exception
    assert not app.error
    assert component(app, "token_map")["panes"]


def test_without_a_preview_worker_it_says_so_until_there_is_one(open_page: Open) -> None:
    missing = refusal(503, "no_preview_worker", "none is running", "python -m worker")
    asked = Asked(**{ONE.id: missing})
    app = open_page("entropy", with_models(ONE, asked=asked, workers=[]))
    assert not app.exception
    assert "No preview worker is running" in app.error[0].value
    assert "python \\-m worker" in app.error[0].value
    asked.failing.clear()
    app.run()
    assert not app.error
    assert component(app, "token_map")["panes"]


def test_a_checkpoint_of_a_running_run_can_be_added(open_page: Open) -> None:
    asked, run = Asked(), a_run(5, "running")
    paths = [f"checkpoints/step-{step}/model.safetensors" for step in (300, 600)]
    files = [Artifact(path=path, size=1, modified_at=0.0) for path in paths]
    fake = FakeClient(run, a_run(6), models=[ONE], preview=asked, artifacts=files)
    app = open_page("entropy", fake)
    assert "artifacts" not in fake.asked
    app.button("add_checkpoint").click().run()
    assert not app.exception
    assert app.selectbox("checkpoint_run").value == run
    assert app.selectbox("checkpoint_step").value == 600
    app.button("checkpoint_add").click().run()
    assert not app.exception
    assert app.query_params["model"] == [ONE.id, f"{run.id}@600"]
    assert asked.questions[-1]["model"] == {"run": run.id, "checkpoint": 600}


def test_a_run_without_a_checkpoint_says_so(open_page: Open) -> None:
    fake = FakeClient(a_run(5, "running"), models=[ONE], preview=Asked(), artifacts=[])
    app = open_page("entropy", fake)
    app.button("add_checkpoint").click().run()
    assert not app.exception
    assert "has no checkpoint yet" in "".join(info.value for info in app.info)


def test_many_models_are_listed_and_few_are_shown(open_page: Open) -> None:
    app = open_page("entropy", with_models(*[a_model(number) for number in range(1, 400)]))
    assert not app.exception
    assert len(field(app.multiselect, "models").options) == 200
    assert len(component(app, "token_map")["panes"]) == 2


def test_it_comes_back_after_the_api_was_away(open_page: Open) -> None:
    fake = with_models(ONE)
    fake.away = True
    app = open_page("entropy", fake)
    assert not app.exception
    assert "no Entromask service answers" in app.error[0].value
    fake.away = False
    app.run()
    assert not app.error
    assert component(app, "token_map")["panes"]
