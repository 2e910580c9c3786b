"""The page of a new run: form and YAML in step, what is refused beside its field, what is sent."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from entromask.client import ApiError
from entromask.glue.tasks import TASKS
from entromask.presets import MASKING_PRESETS
from entromask.resources import Corpus, Estimate, Model, ProblemEntry, Run, Task, Validation
from entromask.spec import RunSpec, SpecError
from frontend.parts.submit.draft import Draft
from frontend.parts.submit.spec_form import UNSET
from frontend.parts.value_fields import name_of
from tests.frontend.conftest import Open, field, words
from tests.frontend.fake import NOW, FakeClient, a_run


class Service(FakeClient):
    """A fake client that checks specs as the API does, and keeps what it was sent."""

    def __init__(self, *runs: Run, **answers: Any) -> None:
        self.sent: list[tuple[dict[str, Any], dict[str, Any]]] = []
        super().__init__(
            *runs,
            **{
                "tasks": [
                    Task(name=name, kind=task.kind, columns=[], labels=2, metrics=[])
                    for name, task in TASKS.items()
                ],
                "models": lambda: iter(_models(runs)),
                "corpora": lambda: iter(()),
                "validate_run": _validate,
                "create_run": self._create,
                "preview": _preview,
            }
            | answers,
        )

    def _create(self, spec: dict[str, Any], **named: Any) -> Run:
        self.sent.append((spec, named))
        _validate(spec)
        run = a_run(500 + len(self.sent), "queued", spec=spec, name=spec["name"])
        self.runs[run.id] = run
        return run


def _models(runs: tuple[Run, ...]) -> list[Model]:
    return [
        Model(id=run.id, name=run.name, reference={"run": run.id}, created_at=NOW)
        for run in runs
        if run.status == "succeeded"
    ]


def _validate(spec: dict[str, Any]) -> Validation:
    try:
        # The folder of a teacher is the service's business.
        teacher = {"teacher": {"hub": "a/b"}} if spec.get("teacher") else {}
        resolved = RunSpec.parse(spec | teacher).resolved()
    except SpecError as error:
        errors = [
            ProblemEntry(pointer="/".join(["/spec", *map(str, where)]), detail=sentence)
            for where, sentence in error.problems
        ]
        raise ApiError(
            error.message, error.hint, status=422, code="invalid_spec", errors=errors
        ) from None
    return Validation(
        spec=resolved.data(),
        spec_hash="a",
        group_hash="b",
        estimate=Estimate(
            tokens=4_915_200,
            steps=600,
            seconds=300,
            stages={"preparing": 10, "pretraining": 240, "evaluating": 50},
            basis="steps from the budget",
        ),
        warnings=["few tokens"],
    )


def _preview(text: str, model: Any, *, presets: list[str], rate: float | None) -> dict[str, Any]:
    token = {"position": 0, "start": 0, "end": len(text), "token": "all", "special": False}
    entry = {"positions": [0], "probabilities": [0.4], "select": "sample", "rate": rate}
    return {"tokens": [token], "presets": [entry]}


def draft(app: AppTest) -> Draft:
    found: Draft = app.session_state["submit_draft"]
    return found


def type_yaml(app: AppTest, text: str) -> AppTest:
    """As the editor in the browser reports it."""
    draft(app).typed(text, draft(app).id, draft(app).revision)
    return app.run()


def editor(app: AppTest) -> dict[str, Any]:
    """What the editor was given."""
    [shown] = app.get("bidi_component")
    found: dict[str, Any] = json.loads(shown.proto.json)
    return found


def reds(app: AppTest) -> list[str]:
    return [one.value.replace("\\", "") for one in app.markdown if ":red[" in one.value]


def choose(app: AppTest, key: str, value: Any) -> AppTest:
    field(app.selectbox, key).set_value(value)
    return app.run()


def fill(app: AppTest, key: str, value: str) -> AppTest:
    field(app.text_input, key).set_value(value)
    return app.run()


def pressed(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    return app.run()


def test_a_new_form_is_a_small_run_that_can_be_submitted(open_page: Open) -> None:
    app = open_page("submit", Service())
    assert not app.exception
    assert field(app.selectbox, "spec.masking.preset").value == "random"
    assert field(app.multiselect, "spec.evaluation.tasks").value == ["demo-order", "demo-pair"]
    assert not app.button(key="submit").disabled
    assert "4.92 M" in words(app)
    assert "Few tokens" in words(app)


def test_without_a_model_it_says_when_a_picture_comes(open_page: Open) -> None:
    app = open_page("submit", Service())
    assert "when a run has succeeded" in words(app)


def test_a_picture_of_the_masks_is_of_the_chosen_preset(open_page: Open) -> None:
    asked: list[Any] = []

    def preview(text: str, model: Any, **named: Any) -> Any:
        asked.append((model, named))
        return _preview(text, model, **named)

    run = a_run(1)
    app = open_page("submit", Service(run, preview=preview))
    choose(app, "spec.masking.preset", "self-entropy-sample")
    fill(app, "spec.masking.rate", "0.3")
    assert not app.exception
    assert asked[-1] == ({"run": run.id}, {"presets": ["self-entropy-sample"], "rate": 0.3})
    assert "<mark" in words(app)
    count = len(asked)
    choose(app, "spec.masking.preset", "random")
    choose(app, "spec.masking.preset", "self-entropy-sample")
    assert len(asked) == count + 1


def test_a_slow_picture_holds_nothing_up(open_page: Open) -> None:
    ready = threading.Event()

    def preview(text: str, model: Any, **named: Any) -> Any:
        assert ready.wait(20)
        return _preview(text, model, **named)

    app = open_page("submit", Service(a_run(1), preview=preview))
    assert "is being made" in words(app)
    assert not app.button(key="submit").disabled
    ready.set()
    [answer] = app.session_state["miniatures"].values()
    answer.future.result(timeout=20)
    assert "<mark" in words(app.run())


def test_a_picture_that_fails_is_one_sentence(open_page: Open) -> None:
    error = ApiError("no preview worker is running", None, status=503, code="no_preview_worker")
    app = open_page("submit", Service(a_run(1), preview=error))
    assert not app.error
    assert "no preview worker is running" in words(app)
    assert not app.button(key="submit").disabled


def test_a_choice_changes_the_yaml_and_a_name_that_was_the_presets_follows(open_page: Open) -> None:
    app = choose(open_page("submit", Service()), "spec.masking.preset", "frequency")
    assert draft(app).data["masking"] == {"preset": "frequency"}
    assert draft(app).data["name"] == "frequency"
    fill(app, "spec.name", "mine")
    choose(app, "spec.masking.preset", "random")
    assert draft(app).data["name"] == "mine"
    assert editor(app)["text"] == draft(app).text


def test_every_preset_can_be_chosen(open_page: Open) -> None:
    preset = field(open_page("submit", Service()).selectbox, "spec.masking.preset")
    assert set(preset.options) >= set(MASKING_PRESETS)


def test_distillation_is_switched_on_and_set_in_step_with_the_yaml(open_page: Open) -> None:
    run = a_run(1)
    app = open_page("submit", Service(run))
    choose(app, "spec.distillation", "from the teacher")
    assert any("needs a teacher" in one for one in reds(app))
    choose(app, "spec.teacher", f"run:{run.id}")
    assert not reds(app)
    fill(app, "spec.distillation.weight", "0.7")
    fill(app, "spec.distillation.temperature", "1.5")
    choose(app, "spec.distillation.positions", "all")
    fill(app, "spec.distillation.top_k", "32")
    given = {"weight": 0.7, "temperature": 1.5, "positions": "all", "top_k": 32}
    assert draft(app).data["distillation"] == given
    assert "temperature: 1.5" in editor(app)["text"]
    assert not app.button(key="submit").disabled
    type_yaml(app, draft(app).text.replace("positions: all", "refresh: cached"))
    assert field(app.selectbox, "spec.distillation.refresh").value == "cached"
    assert field(app.selectbox, "spec.distillation.positions").value == UNSET
    choose(app, "spec.distillation", UNSET)
    assert "distillation" not in draft(app).data
    assert not any(name_of(box.key) == "spec.distillation.refresh" for box in app.selectbox)


def test_distillation_that_is_refused_is_told_at_its_field(open_page: Open) -> None:
    app = open_page("submit", Service(a_run(1)))
    type_yaml(app, "teacher: {hub: a/b}\ndistillation: {weight: 5, top_k: 9000}")
    assert any("less than or equal to 1" in one for one in reds(app))
    fill(app, "spec.distillation.weight", "")
    assert field(app.text_input, "spec.distillation.weight").placeholder == "0.5 (default)"
    assert draft(app).data["distillation"] == {"top_k": 9000}
    fill(app, "spec.distillation.top_k", "")
    # Without any key of its own it is still on, with its defaults.
    assert draft(app).data["distillation"] == {}
    assert field(app.selectbox, "spec.distillation").value == "from the teacher"
    assert not app.button(key="submit").disabled


def test_unit_refresh_and_a_rate_schedule_are_parts_of_the_masking(open_page: Open) -> None:
    app = open_page("submit", Service())
    app.session_state["drawer.masking"] = True
    app.run()
    choose(app, "spec.masking.preset", "self-entropy-sample")
    choose(app, "spec.masking.unit", "word")
    choose(app, "spec.masking.refresh", "cached")
    choose(app, "spec.masking.rate.schedule", "linear")
    assert draft(app).data["masking"] == {
        "preset": "self-entropy-sample",
        "unit": "word",
        "refresh": "cached",
        "rate": {"schedule": "linear", "start": 0.3, "end": 0.15},
    }
    assert "of the preset: rate, refresh, unit" in words(app).replace("\\", "")
    fill(app, "spec.masking.rate.start", "0.4")
    choose(app, "spec.masking.rate.schedule", "cyclic")
    fill(app, "spec.masking.rate.cycles", "2")
    assert field(app.text_input, "spec.masking.rate").value == (
        "{schedule: cyclic, start: 0.4, end: 0.15, cycles: 2}"
    )
    fill(app, "spec.masking.rate.start", "4")
    assert any("less than 1" in one for one in reds(app))
    fill(app, "spec.masking.rate", "0.2")
    assert field(app.selectbox, "spec.masking.rate.schedule").value == UNSET
    choose(app, "spec.masking.rate.schedule", "cosine")
    choose(app, "spec.masking.rate.schedule", UNSET)
    assert "rate" not in draft(app).data["masking"]
    assert not app.exception


def test_the_yaml_changes_the_form(open_page: Open) -> None:
    app = open_page("submit", Service())
    text = (
        "name: typed\nseed: 3\ncorpus: {source: hub, name: a/b}\nmodel: {size: base}\n"
        "masking: {rate: 0.2}\npretraining: {budget: {epochs: 2.5}}\nevaluation: {tasks: [rte]}\n"
    )
    type_yaml(app, text)
    assert not app.exception
    assert field(app.text_input, "spec.name").value == "typed"
    assert field(app.text_input, "submit.seeds").value == "3"
    assert field(app.text_input, "spec.corpus.name").value == "a/b"
    assert field(app.selectbox, "spec.model.size").value == "base"
    assert field(app.text_input, "spec.masking.rate").value == "0.2"
    assert field(app.selectbox, "submit.budget").value == "epochs"
    assert field(app.text_input, "spec.pretraining.budget.epochs").value == "2.5"
    assert field(app.multiselect, "spec.evaluation.tasks").value == ["rte"]
    assert draft(app).text == text


def test_the_form_keeps_keys_that_it_has_no_field_for(open_page: Open) -> None:
    app = type_yaml(open_page("submit", Service()), "name: a\nmine: {b: 1}  # kept\n")
    fill(app, "spec.name", "b")
    assert draft(app).text == "name: b\nmine: {b: 1}  # kept\n"
    assert any("unknown key 'mine'" in one for one in reds(app))


def test_broken_yaml_is_told_with_its_line_and_destroys_nothing(open_page: Open) -> None:
    app = fill(open_page("submit", Service()), "spec.name", "mine")
    type_yaml(app, "name: mine\nmasking: [")
    assert not app.exception
    assert any("Line 2, column" in one for one in reds(app))
    assert [mark["line"] for mark in editor(app)["marks"]] == [2]
    assert field(app.text_input, "spec.name").value == "mine"
    assert field(app.selectbox, "spec.masking.preset").value == "random"
    assert app.button(key="submit").disabled
    fill(app, "spec.name", "other")
    assert editor(app)["text"] == "name: mine\nmasking: ["
    type_yaml(app, "name: mine\nmasking: {rate: 0.2}")
    assert draft(app).data == {"name": "other", "masking": {"rate": 0.2}}


def test_what_is_refused_is_told_at_its_field_and_its_line(open_page: Open) -> None:
    app = fill(open_page("submit", Service()), "spec.masking.rate", "2")
    assert not app.exception
    assert len([one for one in reds(app) if "less than 1" in one]) == 2
    assert [mark["line"] for mark in editor(app)["marks"]] == [4]
    assert app.button(key="submit").disabled
    fill(app, "spec.masking.rate", "")
    assert not reds(app)
    assert not app.button(key="submit").disabled


def test_something_wrong_inside_a_drawer_opens_it(open_page: Open) -> None:
    app = open_page("submit", Service())
    with pytest.raises(KeyError):
        field(app.text_input, "spec.pretraining.batch_size")
    type_yaml(app, "pretraining: {batch_size: none}")
    assert field(app.text_input, "spec.pretraining.batch_size").value == "none"
    assert any("valid integer" in one for one in reds(app))


@pytest.mark.parametrize(
    "text",
    [
        "corpus: builtin\nmodel: [1]\nmasking: 3\nteacher: x\nevaluation: {tasks: rte}",
        "corpus: {source: [1]}\npretraining: 7\nevaluation: null\nseed: x\ntags: 3",
        "corpus: {source: elsewhere}\nmodel: {size: {a: 1}}\nevaluation: {tasks: [1, {a: b}]}",
        "pretraining: {budget: {steps: 1, tokens: 2}}\nteacher: {}\ntokenizer: {source: x}",
        "masking: {preset: nope, rate: {schedule: linear}, corruption: [1, 0]}\nname: [a]",
        "evaluation: {tasks: [rte, rte]}\ncorpus: {source: ''}\nmodel: {size: ''}",
        "pretraining: {budget: 3}\nmodel: {init: {}}\ndistillation: 5\nmasking: {preset: [1]}",
    ],
)
def test_data_of_the_wrong_kind_is_shown_and_refused(open_page: Open, text: str) -> None:
    app = open_page("submit", Service(a_run(1)))
    for key in ("masking", "training", "text", "model", "evaluation"):
        app.session_state[f"drawer.{key}"] = True
    type_yaml(app, text)
    assert not app.exception
    assert reds(app)
    assert draft(app).text == text
    assert app.button(key="submit").disabled


def test_every_drawer_opens_in_every_corner(open_page: Open) -> None:
    app = open_page("submit", Service(a_run(1)))
    for key in ("masking", "training", "text", "model", "evaluation"):
        app.session_state[f"drawer.{key}"] = True
    app.run()
    assert not app.exception
    fill(app, "spec.pretraining.learning_rate", "2e-3")
    fill(app, "spec.masking.temperature", "2")
    choose(app, "spec.pretraining.precision", "bf16")
    choose(app, "spec.evaluation.floor", "false")
    choose(app, "spec.tokenizer.source", "hub")
    fill(app, "spec.tokenizer.name", "a/b")
    assert draft(app).data["pretraining"]["learning_rate"] == 0.002
    assert draft(app).data["masking"]["temperature"] == 2
    assert draft(app).data["evaluation"]["floor"] is False
    assert draft(app).data["tokenizer"] == {"source": "hub", "name": "a/b"}
    choose(app, "spec.evaluation.floor", UNSET)
    assert "floor" not in draft(app).data["evaluation"]


def test_a_model_to_continue_from_brings_its_shape(open_page: Open) -> None:
    run = a_run(1)
    app = open_page("submit", Service(run))
    app.session_state["drawer.model"] = True
    app.run()
    choose(app, "spec.model.init", f"run:{run.id}")
    assert draft(app).data["model"] == {"init": {"run": run.id}}
    assert field(app.selectbox, "spec.model.size").disabled


@pytest.mark.parametrize("init", ["teacher-complete", "teacher-embeddings"])
def test_weights_may_begin_with_the_teachers_and_keep_the_shape(open_page: Open, init: str) -> None:
    run = a_run(1)
    app = open_page("submit", Service(run))
    app.session_state["drawer.model"] = True
    app.run()
    choose(app, "spec.model.init", init)
    assert any("needs a teacher" in one for one in reds(app))
    choose(app, "spec.teacher", f"run:{run.id}")
    assert draft(app).data["model"] == {"architecture": "modernbert", "size": "tiny", "init": init}
    assert field(app.selectbox, "spec.model.init").value == init
    assert not field(app.selectbox, "spec.model.size").disabled
    assert not app.button(key="submit").disabled
    choose(app, "spec.model.init", UNSET)
    assert "init" not in draft(app).data["model"]


def test_a_checkpoint_of_a_run_is_shown_with_its_step(open_page: Open) -> None:
    run = a_run(1, "running")
    app = open_page("submit", Service(run))
    type_yaml(app, f"teacher: {{run: {run.id}, checkpoint: 300}}")
    assert field(app.selectbox, "spec.teacher").value == f"run:{run.id}@300"
    assert not app.button(key="submit").disabled


def test_a_teacher_may_be_a_model_or_a_run_that_is_still_going(open_page: Open) -> None:
    done, going = a_run(1), a_run(2, "running")
    app = open_page("submit", Service(done, going))
    choose(app, "spec.masking.preset", "teacher-masked-entropy-sample")
    assert any("needs a teacher" in one for one in reds(app))
    choose(app, "spec.teacher", f"run:{going.id}")
    assert draft(app).data["teacher"] == {"run": going.id}
    assert not app.button(key="submit").disabled
    assert "as if it were the teacher" in words(app)
    choose(app, "spec.teacher", f"run:{done.id}")
    assert "Scored by run 1, the teacher" in words(app).replace("\\", "")


def test_another_source_of_text_keeps_the_limit_and_asks_for_what_it_needs(open_page: Open) -> None:
    corpus = Corpus(
        id="corpus_1", name="books.txt", format="txt", size=1, sha256="", created_at=NOW
    )
    app = open_page("submit", Service(corpora=lambda: iter([corpus])))
    type_yaml(app, "corpus: {source: builtin, max_tokens: 1000}")
    choose(app, "spec.corpus.source", "local")
    assert draft(app).data["corpus"] == {"source": "local", "max_tokens": 1000}
    assert any("Is required" in one for one in reds(app))
    choose(app, "spec.corpus.source", "upload")
    choose(app, "spec.corpus.id", "corpus_1")
    assert draft(app).data["corpus"]["id"] == "corpus_1"
    assert not reds(app)


def test_an_uploaded_file_becomes_the_corpus(open_page: Open) -> None:
    files: list[tuple[str, bytes, str]] = []
    known: list[Corpus] = []

    def upload(path: Path, name: str) -> Corpus:
        files.append((path.name, path.read_bytes(), name))
        known.append(
            Corpus(id="corpus_1", name=name, format="txt", size=1, sha256="", created_at=NOW)
        )
        return known[-1]

    app = open_page("submit", Service(corpora=lambda: iter(known), upload_corpus=upload))
    choose(app, "spec.corpus.source", "upload")
    app.file_uploader[0].set_value(("my books.txt", b"Once.", "text/plain"))
    app.run()
    app.run()
    assert not app.exception
    assert files == [("my_books.txt", b"Once.", "my books.txt")]
    assert draft(app).data["corpus"] == {"source": "upload", "id": "corpus_1"}
    assert field(app.selectbox, "spec.corpus.id").value == "corpus_1"
    assert not app.button(key="submit").disabled


def test_a_file_that_is_refused_is_told_and_not_sent_again_by_itself(open_page: Open) -> None:
    service = Service(upload_corpus=ApiError("not JSON", "mend it", status=422, code="x"))
    app = open_page("submit", service)
    choose(app, "spec.corpus.source", "upload")
    app.file_uploader[0].set_value(("a.jsonl", b"x", "application/json"))
    app.run()
    app.run()
    assert "not JSON" in app.error[0].value
    assert service.asked.count("upload_corpus") == 1
    pressed(app, "corpus_upload_again")
    assert service.asked.count("upload_corpus") == 2


def test_another_unit_of_the_budget_takes_over_what_is_known(open_page: Open) -> None:
    app = open_page("submit", Service())
    for unit, amount in (("tokens", 4_915_200), ("minutes", 4), ("epochs", 1), ("steps", 600)):
        choose(app, "submit.budget", unit)
        assert draft(app).data["pretraining"]["budget"] == {unit: amount}


def test_several_seeds_are_several_runs(open_page: Open) -> None:
    service = Service()
    app = fill(open_page("submit", service), "submit.seeds", "0, 1, 2")
    assert "14.7 M" in words(app)
    fill(app, "submit.notes", "why")
    choose(app, "submit.priority", 2)
    pressed(app, "submit")
    assert not app.exception
    assert [spec["seed"] for spec, _ in service.sent] == [0, 1, 2]
    keys = {named.pop("idempotency_key") for _, named in service.sent}
    assert len(keys) == 3
    assert service.sent[0][1] == {"notes": "why", "priority": 2}


def test_seeds_that_are_none_are_told_and_stop_the_button(open_page: Open) -> None:
    app = fill(open_page("submit", Service()), "submit.seeds", "0, x")
    assert any("not 'x'" in one for one in reds(app))
    assert app.button(key="submit").disabled


def test_the_same_form_is_submitted_once(open_page: Open) -> None:
    service = Service()
    app = open_page("submit", service)
    pressed(app, "submit")
    app.switch_page("pages/submit.py").run()
    assert app.button(key="submit").disabled
    assert "has been submitted" in words(app)
    pressed(app, "submit_again")
    assert not app.button(key="submit").disabled
    pressed(app, "submit")
    keys = [named["idempotency_key"] for _, named in service.sent]
    assert len(set(keys)) == 2


def test_runs_that_were_made_before_a_failure_are_not_made_again(open_page: Open) -> None:
    service = Service()
    app = fill(open_page("submit", service), "submit.seeds", "0, 1")
    make = service._create

    def once(spec: dict[str, Any], **named: Any) -> Run:
        if service.sent:
            raise ApiError("the disk is full", None, status=503, code="disk_full")
        return make(spec, **named)

    service.answers["create_run"] = once
    pressed(app, "submit")
    assert "the disk is full" in app.error[0].value
    assert "1 of 2 runs" in words(app)
    service.answers["create_run"] = make
    pressed(app, "submit")
    assert [spec["seed"] for spec, _ in service.sent if "seed" in spec] == [0, 1]


def test_a_clone_is_what_differs_from_the_defaults(open_page: Open) -> None:
    run = a_run(7, preset="frequency", tags=["mine"], priority=3, spec={"seed": 4})
    app = open_page("submit", Service(run), clone=run.id)
    assert not app.exception
    assert draft(app).data["masking"] == {"preset": "frequency"}
    assert draft(app).data["tags"] == ["mine"]
    assert "learning_rate" not in draft(app).text
    assert field(app.text_input, "submit.seeds").value == "4"
    assert field(app.selectbox, "submit.priority").value == 3
    assert RunSpec.parse(draft(app).data).group_hash == run.group_hash


def test_what_was_typed_over_a_clone_stays_until_it_is_cloned_again(open_page: Open) -> None:
    run = a_run(7)
    app = fill(open_page("submit", Service(run), clone=run.id), "spec.name", "mine")
    app.run()
    assert draft(app).data["name"] == "mine"
    pressed(app, "clone_again")
    assert draft(app).data["name"] == "run 7"
    pressed(app, "bring_back")
    assert draft(app).data["name"] == "mine"
    pressed(app, "anew")
    assert draft(app).data["name"] == "random"
    assert "clone" not in app.query_params


def test_a_new_form_is_not_the_clone_that_the_url_still_asks_for(open_page: Open) -> None:
    run = a_run(7)
    app = pressed(open_page("submit", Service(run), clone=run.id), "anew")
    assert draft(app).data["name"] == "random"
    assert "Cloned" not in words(app)


def test_a_clone_puts_what_was_typed_aside(open_page: Open) -> None:
    run = a_run(7)
    app = fill(open_page("submit", Service(run)), "spec.name", "mine")
    app.query_params["clone"] = run.id
    app.run()
    assert draft(app).data["name"] == "run 7"
    pressed(app, "bring_back")
    assert draft(app).data["name"] == "mine"


def test_a_run_to_clone_that_is_gone_is_told_and_the_form_is_there(open_page: Open) -> None:
    app = open_page("submit", Service(), clone="run_gone")
    assert "run_gone" in app.error[0].value.replace("\\", "")
    assert not app.button(key="submit").disabled


def test_a_preset_in_the_url_is_chosen_once(open_page: Open) -> None:
    app = open_page("submit", Service(), preset="frequency")
    assert field(app.selectbox, "spec.masking.preset").value == "frequency"
    choose(app, "spec.masking.preset", "random")
    assert field(app.selectbox, "spec.masking.preset").value == "random"


def test_what_was_typed_survives_another_page(open_page: Open) -> None:
    app = fill(open_page("submit", Service()), "spec.name", "mine")
    fill(app, "submit.notes", "why")
    type_yaml(app, draft(app).text + "# still here\n")
    app.switch_page("pages/runs.py").run()
    app.switch_page("pages/submit.py").run()
    assert field(app.text_input, "spec.name").value == "mine"
    assert field(app.text_input, "submit.notes").value == "why"
    assert "# still here" in editor(app)["text"]


def test_with_the_api_away_it_says_so_and_keeps_what_is_typed(open_page: Open) -> None:
    service = Service(a_run(1))
    service.away = True
    app = open_page("submit", service)
    assert not app.exception
    assert "no Entromask service answers" in app.error[0].value
    fill(app, "spec.name", "typed meanwhile")
    type_yaml(app, draft(app).text + "seed: 5\n")
    assert app.button(key="submit").disabled
    service.away = False
    app.run()
    assert not app.error
    assert field(app.text_input, "spec.name").value == "typed meanwhile"
    assert draft(app).data["seed"] == 5
    assert not app.button(key="submit").disabled


def test_an_api_that_goes_away_before_the_button_leaves_the_form(open_page: Open) -> None:
    service = Service()
    app = fill(open_page("submit", service), "spec.name", "mine")
    service.away = True
    pressed(app, "submit")
    assert not app.exception
    assert app.error
    assert draft(app).data["name"] == "mine"
    service.away = False
    app.run()
    pressed(app, "submit")
    assert [spec["name"] for spec, _ in service.sent] == ["mine"]


def test_a_key_is_asked_for_and_the_form_stays(open_page: Open) -> None:
    error = ApiError("who are you", None, status=401, code="unauthorized")
    app = open_page("submit", Service(validate_run=error))
    assert any("API key" in one.label for one in app.text_input)
    assert field(app.text_input, "spec.name").value == "random"


def test_many_models_and_markup_in_their_names_are_shown_as_they_are(open_page: Open) -> None:
    runs = [a_run(number, name=f"<b>{number}</b> *x*") for number in range(300)]
    app = open_page("submit", Service(*runs))
    assert not app.exception
    assert len(field(app.selectbox, "spec.teacher").options) == 1 + 200
    assert "<b>299</b>" not in "".join(one.value for one in app.caption)
