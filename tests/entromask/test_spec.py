"""RunSpec: defaults, refusals in words, hashes, overrides."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from entromask.compatibility import advice
from entromask.errors import InputError
from entromask.presets import MASKING_PRESETS
from entromask.settings import settings
from entromask.spec import (
    Masking,
    ModelReference,
    RunSpec,
    SpecError,
    TrainedTokenizer,
    run_folder,
)
from entromask.yaml_file import apply_override


def refused(data: dict[str, Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        RunSpec.parse(data).resolved()
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value


def test_an_empty_spec_is_a_whole_run() -> None:
    spec = RunSpec.parse({}).resolved()
    assert spec.corpus.source == "builtin"
    assert spec.masking.preset == "random"
    assert (spec.model.architecture, spec.model.size, spec.model.dropout) == ("bert", "mini", 0.1)
    assert spec.pretraining.budget.steps == 3000


def test_resolving_twice_changes_nothing() -> None:
    for data in (
        {},
        {"masking": {"preset": "self-entropy-high"}},
        {"masking": {"score": "entropy"}, "teacher": {"path": "t"}},
    ):
        once = RunSpec.parse(data).resolved()
        assert once.resolved() == once


def test_a_resolved_spec_survives_its_yaml() -> None:
    spec = RunSpec.parse({"name": "ä", "masking": {"preset": "frequency"}}).resolved()
    again = RunSpec.parse(yaml.safe_load(spec.to_yaml()))
    assert again == spec
    assert again.spec_hash == spec.spec_hash


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"maskin": {}}, ["unknown key 'maskin'", "did you mean 'masking'?"]),
        ({"masking": {"rat": 0.2}}, ["masking", "unknown key 'rat'", "did you mean 'rate'?"]),
        ({"masking": {"preset": "self-entropy-hihg"}}, ["did you mean 'self-entropy-high'?"]),
        ({"masking": {"rate": 0}}, ["masking.rate", "greater than 0", "not 0"]),
        ({"masking": {"rate": 1.2}}, ["masking.rate", "less than 1", "not 1.2"]),
        ({"masking": {"corruption": [0.8, 0.1, 0.2]}}, ["must add up to 1, not 1.1"]),
        ({"masking": {"select": "best"}}, ["masking.select", "'top'", "not 'best'"]),
        ({"corpus": {"source": "web"}}, ["corpus", "'web' is unknown", "builtin, local, hub"]),
        ({"corpus": {"path": "a"}}, ["corpus: needs the key 'source'"]),
        ({"corpus": {"source": "local"}}, ["corpus.path: is required"]),
        ({"teacher": {"run": "a", "hub": "b"}}, ["teacher", "exactly one of", "run, hub"]),
        ({"teacher": {}}, ["exactly one of", "given: none"]),
        ({"pretraining": {"budget": {"steps": 1, "epochs": 1}}}, ["exactly one of steps, epochs"]),
        ({"pretraining": {"budget": {"steps": -1}}}, ["pretraining.budget.steps", "not -1"]),
        ({"pretraining": {"batch_size": 2, "gradient_accumulation": 3}}, ["(3)", "(2)"]),
        ({"evaluation": {"tasks": ["rtee"]}}, ["no task 'rtee'", "cola"]),
        ({"evaluation": {"seeds": [1, 1]}}, ["distinct"]),
        ({"evaluation": {"seeds": []}}, ["evaluation.seeds"]),
        ({"seed": -1}, ["seed", "not -1"]),
        ({"model": {"size": "huge"}}, ["model.size", "not 'huge'"]),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_value(
    data: dict[str, Any], words: list[str]
) -> None:
    message = refused(data).message
    for word in words:
        assert word in message
    assert "\n" not in message


def test_all_problems_are_said_at_once() -> None:
    error = refused({"seed": -1, "masking": {"rate": 2}})
    assert "seed" in error.message
    assert "masking.rate" in error.message
    assert isinstance(error, SpecError)
    assert [p.location for p in error.problems] == [("seed",), ("masking", "rate")]


@pytest.mark.parametrize(
    ("data", "location", "words"),
    [
        ({"maskin": {}}, ("maskin",), "did you mean 'masking'?"),
        ({"masking": {"rat": 0.2}}, ("masking", "rat"), "unknown key 'rat'"),
        ({"masking": {"rate": 2}}, ("masking", "rate"), "less than 1, not 2"),
        (
            {"masking": {"rate": {"schedule": "up", "start": 0.3, "end": 0.1}}},
            ("masking", "rate", "schedule"),
            "not 'up'",
        ),
        ({"masking": {"warmup": 1.5}}, ("masking", "warmup"), "not 1.5"),
        ({"pretraining": {"warmup": 1.5}}, ("pretraining", "warmup"), "not 1.5"),
        ({"corpus": {"source": "local"}}, ("corpus", "path"), "is required"),
        ({"corpus": {"source": "local", "path": ""}}, ("corpus", "path"), "at least 1 char"),
        ({"corpus": {"source": "web"}}, ("corpus",), "source 'web' is unknown"),
        ({"tokenizer": {"source": "local"}}, ("tokenizer", "path"), "is required"),
        ({"tokenizer": {"source": "local", "pat": 1}}, ("tokenizer", "pat"), "unknown key"),
        ({"model": {"init": {"paht": "m"}}}, ("model", "init", "paht"), "did you mean 'path'?"),
        ({"model": {"init": "new"}}, ("model", "init"), "not 'new'"),
        ({"evaluation": {"source": {"local": 3}}}, ("evaluation", "source", "local"), "not 3"),
        ({"evaluation": {"source": {"local": [3]}}}, ("evaluation", "source", "local", 0), "not 3"),
        ({"evaluation": {"seeds": [0, -1]}}, ("evaluation", "seeds", 1), "not -1"),
        ([1], (), "holds list"),
        # From here on: what `resolved` refuses.
        (
            {"masking": {"score": "frequency", "source": "self"}},
            ("masking", "source"),
            "does not fit masking.score 'frequency'",
        ),
        ({"masking": {"preset": "teacher-entropy-high"}}, ("teacher",), "needs a teacher"),
        ({"distillation": {}}, ("teacher",), "distillation needs a teacher"),
        ({"model": {"init": "teacher-complete"}}, ("model", "init"), "needs a teacher"),
        (
            {"masking": {"score": "entropy", "source": "self-ema", "refresh": "cached"}},
            ("masking", "refresh"),
            "'cached' does not fit masking.source 'self-ema'",
        ),
        (
            {
                "masking": {"preset": "self-masked-entropy-sample"},
                "pretraining": {"budget": {"epochs": 1}},
            },
            ("masking", "refresh"),
            "with 1 epochs: no position comes twice",
        ),
        (
            {"masking": {"preset": "self-masked-entropy-sample", "refresh_share": 0.1}},
            ("masking", "refresh_share"),
            "belongs to view visible with refresh cached",
        ),
        (
            {"masking": {"preset": "self-entropy-sample", "ema_decay": 0.9}},
            ("masking", "ema_decay"),
            "it belongs to self-ema",
        ),
        (
            {
                "distillation": {"top_k": 9000},
                "teacher": {"path": "t"},
                "tokenizer": {"source": "train", "vocab_size": 8192},
            },
            ("distillation", "top_k"),
            "9,000 is larger than the vocabulary, 8,192",
        ),
        (
            {
                "distillation": {"positions": "all", "refresh": "cached"},
                "teacher": {"path": "t"},
            },
            ("distillation", "positions"),
            "those behind a mask",
        ),
        ({"masking": {"score": "entropi"}}, ("masking", "score"), "did you mean 'entropy'?"),
        ({"model": {"init": {"path": "m"}, "size": "tiny"}}, ("model", "size"), "'tiny' cannot"),
        ({"model": {"init": {"run": "none"}}}, ("model", "init", "run"), "no run 'none'"),
        ({"teacher": {"run": "none"}}, ("teacher", "run"), "no run 'none'"),
    ],
)
def test_a_problem_names_the_key_that_the_user_wrote(
    data: Any, location: tuple[str | int, ...], words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data).resolved()
    sentences = [p.sentence for p in caught.value.problems if p.location == location]
    assert any(words in sentence for sentence in sentences), caught.value.problems


@pytest.mark.parametrize("preset", MASKING_PRESETS)
def test_every_preset_resolves_to_parts_that_fit(preset: str) -> None:
    data: dict[str, Any] = {"masking": {"preset": preset}, "teacher": {"path": "t"}}
    masking = RunSpec.parse(data).resolved().masking
    assert masking.preset == preset
    for name, value in MASKING_PRESETS[preset].parts.items():
        given = getattr(masking, name)
        assert (given.model_dump(exclude={"cycles"}) if name == "rate" else given) == value


@pytest.mark.parametrize(
    ("masking", "parts"),
    [
        ({"score": "surprisal"}, {"source": "teacher", "view": "masked", "refresh": "cached"}),
        (
            {"score": "entropy", "source": "self"},
            {"view": "visible", "refresh": "fresh", "warmup": "plateau"},
        ),
        (
            {"score": "entropy", "source": "self", "view": "masked"},
            {"refresh": "cached", "refresh_share": None},
        ),
        ({"preset": "self-entropy-sample", "refresh": "cached"}, {"refresh_share": 0.1}),
        ({"preset": "self-entropy-sample", "source": "self-ema"}, {"ema_decay": 0.999}),
        ({"score": "amlm"}, {"source": "self", "view": None, "refresh": None, "warmup": 0.0}),
        ({"score": "pmi"}, {"source": "corpus", "view": None, "refresh": None}),
    ],
)
def test_what_is_not_said_of_a_score_is_filled_in(
    masking: dict[str, Any], parts: dict[str, Any]
) -> None:
    found = Masking(**masking).resolved()
    assert {name: getattr(found, name) for name in parts} == parts


def test_stored_predictions_keep_16_of_them_by_default() -> None:
    data = {"distillation": {"refresh": "cached"}, "teacher": {"path": "t"}}
    distillation = RunSpec.parse(data).resolved().distillation
    assert distillation is not None
    assert distillation.top_k == 16


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"masking": {"preset": "self-masked-entropy-sample", "refresh": "fresh"}},
            "take seven more forward passes each step",
        ),
        ({"masking": {"preset": "self-entropy-sample"}}, "one more forward pass each step"),
        ({"teacher": {"path": "t"}}, "teacher is given but not used"),
        (
            {"teacher": {"path": "t"}, "distillation": {"refresh": "cached"}},
            "teach less than fresh",
        ),
        (
            {"teacher": {"path": "t"}, "distillation": {"top_k": 8}},
            "at temperature 2 most of a teacher's probability lies in the tail beyond its 8",
        ),
        (
            {
                "teacher": {"path": "t"},
                "masking": {"preset": "teacher-entropy-high"},
                "pretraining": {"budget": {"epochs": 0.5}},
            },
            "less than one epoch",
        ),
    ],
)
def test_what_is_allowed_but_costs_is_said(data: dict[str, Any], sentence: str) -> None:
    assert any(sentence in one for one in advice(RunSpec.parse(data).resolved()))


@pytest.mark.parametrize(
    "parts",
    [
        {"masking": {"preset": "teacher-entropy-high"}},
        {"distillation": {}},
        {"model": {"init": "teacher-embeddings"}},
    ],
)
def test_a_teacher_that_is_asked_gives_no_advice_to_remove_it(parts: dict[str, Any]) -> None:
    spec = RunSpec.parse({"teacher": {"path": "t"}, **parts}).resolved()
    assert not any("not used" in one for one in advice(spec))


def test_entropy_of_a_teacher_needs_one() -> None:
    assert "needs a teacher" in refused({"masking": {"preset": "teacher-entropy-high"}}).message


def test_a_score_and_a_source_that_do_not_fit_are_refused() -> None:
    message = refused({"masking": {"score": "frequency", "source": "self"}}).message
    assert "'self' does not fit masking.score 'frequency'" in message


def test_a_continued_model_brings_its_shape_and_tokenizer() -> None:
    spec = RunSpec.parse({"model": {"init": {"hub": "bert-base-uncased"}}}).resolved()
    assert spec.tokenizer is not None
    assert spec.tokenizer.model_dump() == {
        "source": "hub",
        "name": "bert-base-uncased",
        "revision": None,
    }
    message = refused({"model": {"init": {"path": "m"}, "size": "tiny"}}).message
    assert "model.size 'tiny' cannot be set together with model.init" in message


def test_seed_name_and_tags_do_not_change_the_group() -> None:
    one = RunSpec.parse({"seed": 0, "name": "a"})
    other = RunSpec.parse({"seed": 1, "name": "b", "tags": ["x"]})
    assert one.group_hash == other.group_hash
    assert one.spec_hash != other.spec_hash


def test_a_written_out_default_changes_no_hash() -> None:
    assert RunSpec.parse({"masking": {"rate": 0.15}}).spec_hash == RunSpec().spec_hash


@pytest.mark.parametrize(
    ("data", "spec_hash", "group_hash"),
    [
        (
            {
                "teacher": {"path": "models/teacher"},
                "masking": {"preset": "teacher-masked-entropy-sample"},
            },
            "da20b2fdef9d6f3d1195b0d9a4d00d5836ae615ccaa0554307d402832f4b7c04",
            "8832ce483b4b1d3237c4acf2a8b99da11e909e9fdd70baec5fcab665f5811254",
        ),
        (
            {
                "seed": 1,
                "teacher": {"run": "run_1"},
                "tokenizer": {"source": "train", "vocab_size": 400, "strip_accents": None},
                "masking": {"preset": "teacher-entropy-high"},
            },
            "b5107e9b2e9b8f8b01e4c32141575e09d394c990a70bd874fbf43278aad2911e",
            "540bf261f63eea78fe47b85a744180bc232714577b8dde822c2528ddda3b0e2b",
        ),
        (
            {"model": {"init": {"hub": "google/bert-mini", "revision": "main"}}},
            "a6e389cc1956ded1c4337c5eb6afa130cea5c7e98b05b8942c74b2929c0128f5",
            "b44b782ee02b4bf1917eb233b83475b0f5e5f2bbfe5c25c7b28c03287b20bbb7",
        ),
    ],
)
def test_specs_that_name_a_model_keep_the_hashes_under_which_their_runs_are_stored(
    data: dict[str, Any], spec_hash: str, group_hash: str
) -> None:
    spec = RunSpec.parse(data)
    assert (spec.spec_hash, spec.group_hash) == (spec_hash, group_hash)


def test_a_checkpoint_goes_with_a_run_and_is_written_only_where_it_is_given() -> None:
    for other in ("path", "hub"):
        with pytest.raises(ValidationError, match=f"goes with run, not with {other}"):
            ModelReference.model_validate({other: "a", "checkpoint": 5})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        ModelReference(run="a", checkpoint=-1)
    plain, at = ModelReference(run="a"), ModelReference(run="a", checkpoint=5)
    assert set(plain.model_dump()) == {"run", "path", "hub", "revision"}
    assert at.model_dump() == {**plain.model_dump(), "checkpoint": 5}
    assert ModelReference.model_validate_json(at.model_dump_json()) == at
    assert (str(plain), str(at)) == ("run a", "run a at step 5")


def test_every_other_change_is_another_group() -> None:
    changes: list[dict[str, Any]] = [
        {"masking": {"rate": 0.2}},
        {"model": {"size": "tiny"}},
        {"pretraining": {"learning_rate": 2e-3}},
        {"evaluation": {"tasks": ["rte"]}},
        {"corpus": {"source": "builtin", "max_tokens": 1000}},
    ]
    groups = [RunSpec.parse(change).group_hash for change in [{}, *changes]]
    assert len(set(groups)) == len(groups)


def spec_file(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_overrides_reach_nested_keys_and_read_yaml_values(tmp_path: Path) -> None:
    path = spec_file(tmp_path, "name: a\npretraining: {budget: {steps: 10}}\n")
    spec = RunSpec.load(
        path, ["seed=3", "masking.preset=frequency", "evaluation.tasks=[rte, cola]", "name=b=c"]
    )
    assert (spec.seed, spec.masking.preset, spec.name) == (3, "frequency", "b=c")
    assert spec.evaluation.tasks == ["rte", "cola"]


def test_naming_one_budget_replaces_the_other(tmp_path: Path) -> None:
    path = spec_file(tmp_path, "pretraining: {budget: {steps: 10}}\n")
    budget = RunSpec.load(path, ["pretraining.budget.epochs=2"]).pretraining.budget
    assert (budget.steps, budget.epochs) == (None, 2)


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    path = spec_file(tmp_path, "pretraining: {learning_rate: 1e-3}\n")
    assert RunSpec.load(path).pretraining.learning_rate == 0.001
    assert RunSpec.load(path, ["pretraining.learning_rate=5e-4"]).pretraining.learning_rate == 5e-4


@pytest.mark.parametrize("override", ["seed", "=1", "name.x=1", "seed=[1", "nope=1"])
def test_an_override_that_cannot_be_is_refused(tmp_path: Path, override: str) -> None:
    path = spec_file(tmp_path, "name: a\n")
    with pytest.raises(InputError):
        RunSpec.load(path, [override])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds nothing"),
        (b"- a\n", "holds list"),
        (b"name: [a\n", "not valid YAML"),
        (b"seed: 1\nseed: 2\n", "given twice"),
        (b"name: \xff\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_spec_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        RunSpec.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no spec file"):
        RunSpec.load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder"):
        RunSpec.load(tmp_path)


def test_a_run_is_found_by_path_and_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTROMASK_HOME", str(tmp_path))
    settings.cache_clear()
    try:
        folder = tmp_path / "runs" / "a"
        folder.mkdir(parents=True)
        (folder / "spec.yaml").write_text("name: a\n")
        assert run_folder("a") == folder
        assert run_folder(str(folder)) == folder
        with pytest.raises(InputError, match="no run 'b'"):
            run_folder("b")
    finally:
        settings.cache_clear()


# Written out by the version before tokenizers had more keys, with its hashes.
_FORMER_SPEC: dict[str, Any] = {
    "name": "run",
    "seed": 0,
    "tags": [],
    "corpus": {"source": "builtin", "max_tokens": None},
    "tokenizer": {"source": "train", "vocab_size": 2048},
    "model": {"architecture": "bert", "size": "mini", "init": "scratch", "dropout": 0.1},
    "teacher": None,
    "masking": {
        "preset": "self-entropy-sample",
        "score": "entropy",
        "source": "self",
        "view": "visible",
        "refresh": "fresh",
        "select": "sample",
        "temperature": 3.0,
        "explore": 0.0,
        "unit": "token",
        "rate": 0.15,
        "corruption": {"mask": 0.8, "random": 0.1, "keep": 0.1},
        "warmup": "plateau",
    },
    "distillation": None,
    "pretraining": {
        "budget": {"steps": 3000, "epochs": None, "tokens": None, "minutes": None},
        "batch_size": 64,
        "sequence_length": 128,
        "learning_rate": 0.001,
        "warmup": 0.06,
        "weight_decay": 0.01,
        "gradient_accumulation": 1,
        "gradient_clipping": 1.0,
        "precision": "auto",
        "checkpoint_every": 500,
        "evaluate_every": 250,
    },
    "evaluation": {
        "tasks": [],
        "source": None,
        "protocol": "fixed",
        "seeds": [0, 1, 2],
        "floor": True,
        "blimp_pairs": None,
    },
}
_FORMER_HASHES = (
    "886249b7680ac5a3ea656c5cbfaf61d92d43617e8a1110d6981ef404839ba7ca",
    "676ddb3c680692357906100629938df88d5a78483848f3c361b71971b9aaa41f",
)


def test_a_spec_written_out_before_keeps_its_tokenizer_and_its_hashes() -> None:
    spec = RunSpec.parse(_FORMER_SPEC)
    assert (spec.spec_hash, spec.group_hash) == _FORMER_HASHES
    tokenizer = spec.resolved().tokenizer
    assert isinstance(tokenizer, TrainedTokenizer)
    assert tokenizer.strip_accents is None
    assert spec.resolved().data() == _FORMER_SPEC
    assert yaml.safe_load(spec.resolved().to_yaml()) == _FORMER_SPEC
    assert RunSpec.parse(spec.data()).resolved() == spec.resolved()


@pytest.mark.parametrize(
    "tokenizer", [{}, {"tokenizer": None}, {"tokenizer": {"source": "train", "vocab_size": 2048}}]
)
def test_a_spec_that_somebody_writes_keeps_accents(tokenizer: dict[str, Any]) -> None:
    data = RunSpec.parse(tokenizer).resolved().data()["tokenizer"]
    assert (data["algorithm"], data["lowercase"], data["strip_accents"]) == (
        "wordpiece",
        True,
        False,
    )
    again = RunSpec.parse(RunSpec.parse(tokenizer).resolved().data()).resolved()
    assert again == RunSpec.parse(tokenizer).resolved()


@pytest.mark.parametrize(
    ("override", "meaning"),
    [
        ("tokenizer.vocab_size=4096", None),
        ("seed=7", None),
        ("tokenizer.strip_accents=true", True),
        ("tokenizer={source: train, vocab_size: 4096}", False),
    ],
)
def test_a_former_tokenizer_changes_only_where_it_is_named_anew(
    override: str, meaning: bool | None
) -> None:
    data = copy.deepcopy(_FORMER_SPEC)
    apply_override(data, override)
    tokenizer = RunSpec.parse(data).resolved().tokenizer
    assert isinstance(tokenizer, TrainedTokenizer)
    assert tokenizer.strip_accents is meaning


def test_excluded_tokens_are_in_the_hash_only_where_there_are_any() -> None:
    plain = RunSpec.parse({"masking": {"preset": "random"}})
    assert "exclude_tokens" not in plain.resolved().data()["masking"]
    empty = RunSpec.parse({"masking": {"preset": "random", "exclude_tokens": []}})
    assert empty.spec_hash == plain.spec_hash
    listed = RunSpec.parse({"masking": {"preset": "random", "exclude_tokens": ["[ENT]"]}})
    assert listed.resolved().data()["masking"]["exclude_tokens"] == ["[ENT]"]
    assert listed.spec_hash != plain.spec_hash


def test_bytes_need_room_for_themselves() -> None:
    error = refused({"tokenizer": {"source": "train", "vocab_size": 250, "algorithm": "byte-bpe"}})
    assert "byte-bpe needs a vocab_size of at least 300" in error.message
    error = refused({"tokenizer": {"source": "train", "algorithm": "bpe"}})
    assert "tokenizer.algorithm" in error.message
    assert "'byte-bpe'" in error.message
