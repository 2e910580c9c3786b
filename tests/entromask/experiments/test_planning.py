"""An experiment becomes runs: which, in which order, compared with what, waiting for whom."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from entromask.experiments import ExperimentSpec
from entromask.experiments.cells import Cell, cells_of
from entromask.experiments.planning import Plan, plan
from entromask.spec import LocalTokenizer, RunSpec, SpecError, TrainedTokenizer

BASE: dict[str, Any] = {
    "pretraining": {"budget": {"steps": 100}},
    "tokenizer": {"source": "train", "vocab_size": 2048},
    "evaluation": {"tasks": ["demo-order"]},
}
METHODS: dict[str, Any] = {
    "random": {"masking.preset": "random"},
    "teacher": {"masking.preset": "teacher-masked-entropy-sample"},
    "self": {"masking.preset": "self-entropy-sample"},
    "distilled": {"masking.preset": "random", "distillation": {}},
}
WITH_TEACHER: dict[str, Any] = {
    "base": BASE | {"teacher": {"run": "big"}},
    "methods": METHODS,
    "teachers": {"big": {"model.size": "small", "pretraining.budget.steps": 300, "seed": 7}},
}


def planned(
    data: dict[str, Any],
    finished: Mapping[tuple[str, int], str] | None = None,
    known: Mapping[tuple[str, int], str] | None = None,
    settled: Sequence[Cell] = (),
    types: int | None = None,
) -> Plan:
    numbers = itertools.count()

    def check(data: dict[str, Any], to_come: Mapping[str, str]) -> tuple[RunSpec, str | None]:
        spec = RunSpec.parse(data)
        named = spec.teacher.run if spec.teacher else None
        waits = named if named is not None and to_come.get(named) == "queued" else None
        return spec.resolved(), waits

    return plan(
        ExperimentSpec.parse(data),
        check=check,
        find_finished=lambda group, seed: (finished or {}).get((group, seed)),
        new_id=lambda: f"run_{next(numbers)}",
        known=known,
        settled=settled,
        vocabulary=lambda spec: types,
    )


def bare(data: dict[str, Any]) -> dict[str, Any]:
    return {"controls": False, "seeds": [0], **data}


def test_every_method_has_a_run_with_every_seed_and_they_differ_in_nothing_else() -> None:
    found = planned({"base": BASE, "methods": METHODS | {}, "controls": False} | {
        "methods": {name: METHODS[name] for name in ("random", "self")}, "seeds": [3, 5],
    })  # fmt: skip
    assert [(run.cell, run.seed) for run in found.runs] == [
        ("random", 3),
        ("random", 5),
        ("self", 3),
        ("self", 5),
    ]
    one, other = (run.spec for run in found.runs if run.cell == "self")
    assert one.group_hash == other.group_hash
    assert one.spec_hash != other.spec_hash
    assert one.masking.preset == "self-entropy-sample"


def test_a_matrix_makes_every_combination_and_compares_within_each_size() -> None:
    data = {
        "base": BASE,
        "matrix": {
            "masking.preset": ["random", "frequency"],
            "model.size": ["tiny", "mini"],
        },
        "baseline": {"masking.preset": "random"},
    }
    cells = {cell.label: cell for cell in cells_of(ExperimentSpec.parse(data))}
    assert list(cells) == [
        "random, size=tiny",
        "random, size=mini",
        "frequency, size=tiny",
        "frequency, size=mini",
    ]
    assert cells["random, size=mini"].role == "baseline"
    assert cells["frequency, size=mini"].baseline == cells["random, size=mini"].key
    assert cells["frequency, size=tiny"].baseline == cells["random, size=tiny"].key


def test_methods_and_matrix_multiply() -> None:
    data = bare(
        {
            "base": BASE,
            "methods": {name: METHODS[name] for name in ("random", "self")},
            "matrix": {"masking.rate": [0.15, 0.3]},
        }
    )
    found = planned(data)
    assert [run.spec.masking.rate for run in found.runs] == [0.15, 0.3, 0.15, 0.3]
    assert [cell.role for cell in found.cells] == ["baseline", "baseline", "method", "method"]


@pytest.mark.parametrize("wanted", ["self", None, {"methods": "random"}])
def test_the_baseline_is_named_or_random_masking(wanted: Any) -> None:
    methods = {name: METHODS[name] for name in ("self", "random")}
    data = bare({"base": BASE, "methods": methods, "baseline": wanted})
    [home] = [cell.label for cell in planned(data).cells if cell.role == "baseline"]
    assert home == ("self" if wanted == "self" else "random")


def test_runs_that_use_the_teacher_wait_for_it_and_the_others_do_not() -> None:
    found = planned(WITH_TEACHER | {"controls": False, "seeds": [0]})
    first, *others = found.runs
    assert (first.cell, first.seed, first.spec.teacher) == ("teacher-big", 7, None)
    assert first.spec.evaluation.tasks == []
    waiting = {run.cell: run.waits_for for run in others}
    assert waiting == {"random": None, "teacher": first.id, "self": None, "distilled": first.id}
    # The others are the very specs that they would be without a teacher beside them.
    [random] = [run for run in others if run.cell == "random"]
    alone = planned(bare({"base": BASE, "methods": {"random": METHODS["random"]}})).runs[0]
    assert random.spec.group_hash == alone.spec.group_hash


def test_a_method_s_run_teaches_the_run_with_the_same_seed() -> None:
    methods = {
        "taught": {"masking.preset": "teacher-masked-entropy-sample", "teacher": {"run": "random"}},
        "random": METHODS["random"],
    }
    found = planned({"base": BASE, "methods": methods, "controls": False, "seeds": [0, 1]})
    ids = {(run.cell, run.seed): run.id for run in found.runs}
    waits = {(run.cell, run.seed): run.waits_for for run in found.runs}
    assert waits["taught", 0] == ids["random", 0]
    assert waits["taught", 1] == ids["random", 1]
    assert waits["random", 0] is None


def test_a_student_of_a_teacher_of_other_text_takes_its_tokenizer() -> None:
    data = WITH_TEACHER | {
        "base": {k: v for k, v in BASE.items() if k != "tokenizer"} | {"teacher": {"run": "big"}},
        "teachers": {"big": {"corpus": {"source": "builtin", "max_tokens": 50_000}}},
    }
    found = planned(data | {"controls": False, "seeds": [0]})
    tokenizers = {run.cell: run.spec.tokenizer for run in found.runs}
    assert isinstance(tokenizers["teacher-big"], TrainedTokenizer)
    assert isinstance(tokenizers["teacher"], LocalTokenizer)
    assert found.runs[0].id in tokenizers["teacher"].path
    # All are scored on the same tokens.
    assert tokenizers["random"] == tokenizers["teacher"]


def test_the_controls_stand_beside_the_methods() -> None:
    found = planned(WITH_TEACHER | {"seeds": [0]})
    assert [(cell.role, cell.label) for cell in found.cells] == [
        ("teacher", "big"),
        ("baseline", "random"),
        ("control", "no pretraining"),
        ("control", "frequency"),
        ("control", "random, 1.38 x budget"),
        ("control", "random, 2.27 x budget"),
        ("method", "teacher"),
        ("method", "self"),
        ("method", "distilled"),
    ]
    specs = {run.cell: run.spec for run in found.runs}
    assert specs["no-pretraining"].pretraining.budget.steps == 0
    assert specs["no-pretraining"].evaluation.tasks == ["demo-order"]
    assert specs["frequency"].masking.preset == "frequency"
    assert specs["equal-compute-1.38"].pretraining.budget.steps == 138
    assert specs["equal-compute-1.38"].masking.preset == "random"
    matched = {cell.label: cell.matched for cell in found.cells if cell.role == "method"}
    assert matched == {
        "teacher": None,  # stored scores cost nothing in a step
        "self": "equal-compute-1.38",
        "distilled": "equal-compute-2.27",
    }


def test_a_control_that_is_a_method_already_is_not_run_twice() -> None:
    methods = {name: METHODS[name] for name in ("random", "self")}
    more = {
        "by counts": {"masking.preset": "frequency"},
        "longer": {"masking.preset": "random", "pretraining.budget.steps": 138},
    }
    found = planned({"base": BASE, "methods": methods | more, "seeds": [0]})
    assert [cell.label for cell in found.cells if cell.role == "control"] == ["no pretraining"]
    assert {cell.label: cell.matched for cell in found.cells}["self"] == "longer"


def test_where_the_compute_is_not_known_a_note_says_so() -> None:
    base = BASE | {"tokenizer": {"source": "local", "path": "/data/tokenizer"}}
    methods = {name: METHODS[name] for name in ("random", "self")}
    found = planned({"base": base, "methods": methods, "seeds": [0]})
    assert not any(cell.key.startswith("equal-compute") for cell in found.cells)
    assert found.notes[0].startswith("no control at equal compute for self: ")


def test_a_finished_run_is_taken_over_and_so_are_those_that_it_taught() -> None:
    data = WITH_TEACHER | {"controls": False, "seeds": [0, 1]}
    first = planned(data)
    finished = {(first.runs[0].spec.group_hash, 7): "run_teacher"}
    again = planned(data, finished)
    assert (again.runs[0].id, again.runs[0].reused) == ("run_teacher", True)
    [taught, _] = [run for run in again.runs if run.cell == "teacher"]
    # Its teacher is there: it waits for nothing, and names that run.
    assert taught.waits_for is None
    assert taught.spec.teacher is not None
    assert taught.spec.teacher.run == "run_teacher"
    finished[taught.spec.group_hash, 0] = "run_taught"
    assert [run.id for run in planned(data, finished).runs if run.reused] == [
        "run_teacher",
        "run_taught",
    ]


def test_an_extended_experiment_keeps_the_runs_that_it_has() -> None:
    data = {"base": BASE, "methods": {name: METHODS[name] for name in ("random", "self")}}
    before = planned(data | {"seeds": [0]})
    known = {(run.cell, run.seed): f"old_{run.id}" for run in before.runs}
    after = planned(data | {"seeds": [0, 1]}, known=known)
    assert {run.id for run in after.runs if run.seed == 0} == set(known.values())
    assert all(not run.reused for run in after.runs if run.seed == 1)
    assert [cell.key for cell in after.cells] == [cell.key for cell in before.cells]


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        ({"methods": {"self": METHODS["self"]}}, ("baseline",), "no method is plain random"),
        ({"methods": METHODS, "baseline": "rnd"}, ("baseline",), "'rnd' is no method"),
        (
            {"matrix": {"masking.rate": [0.1, 0.2]}, "baseline": {"masking.rate": 0.3}},
            ("baseline", "masking.rate"),
            "0.3 is none of its values",
        ),
        (
            {"matrix": {"masking.rate": [0.1]}, "baseline": {"model.size": "tiny"}},
            ("baseline", "model.size"),
            "is no key of the matrix",
        ),
        (
            {"matrix": {"masking.preset": ["random", "random"]}},
            ("matrix", "masking.preset"),
            "the value random stands there twice",
        ),
        (
            {"methods": {"random": METHODS["random"], "same": {"masking.rate": 0.15}}},
            ("methods", "same"),
            "random and same are the same method",
        ),
        (
            {"methods": {"random": METHODS["random"], "odd": {"masking.rat": 0.1}}},
            ("methods", "odd", "masking", "rat"),
            "odd: masking: unknown key 'rat'",
        ),
        (
            {
                "base": BASE | {"teacher": {"run": "random"}},
                "methods": {"random": METHODS["random"]},
                "teachers": {"random": {}},
            },
            ("methods", "random"),
            "a teacher and a method are both called random",
        ),
        (
            {
                "methods": {
                    "random": METHODS["random"],
                    "a": {"distillation": {}, "teacher": {"run": "b"}},
                    "b": {"distillation": {"weight": 0.1}, "teacher": {"run": "a"}},
                }
            },
            ("methods", "a"),
            "the methods teach each other: a -> b -> a",
        ),
        (
            {"methods": {"random": METHODS["random"]}, "seeds": list(range(1000))}
            | {"matrix": {"masking.rate": [0.1, 0.12, 0.14, 0.16, 0.18]}},
            (),
            "at most 5,000",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    data: dict[str, Any], place: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        planned({"base": BASE, **data})
    assert caught.value.problems[0].location == place
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "experiment holds list"),
        ({"metods": {}}, r"unknown key 'metods' \(did you mean 'methods'\?\)"),
        ({"seeds": [1, 1]}, "seeds must be distinct"),
        ({"seeds": []}, "seeds"),
        ({"matrix": {"masking.rate": []}}, "matrix.masking.rate"),
        ({"controls": {"randm": True}}, "unknown key 'randm'"),
    ],
)
def test_an_experiment_that_cannot_be_read_is_refused(data: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ExperimentSpec.parse(data)


def test_controls_may_be_switched_all_at_once() -> None:
    assert not ExperimentSpec.parse({"controls": False}).controls.frequency
    assert ExperimentSpec.parse({"controls": {"frequency": False}}).controls.no_pretraining


def relative_cost_of_a_fresh_pass(types: int) -> float:
    """Of a BERT of 2 x 128 on rows of 128 tokens at 15 %, by hand: scores of each step / none."""
    matrices = 2 * (4 * 128**2 + 2 * 128 * 512)
    encoder, head = 2 * matrices + 4 * 128 * 128 * 2, 2 * (128**2 + types * 128)
    training = 3 * (encoder + 0.15 * head)
    return (training + encoder + head) / training


@pytest.mark.parametrize(("asked", "types"), [(200_000, 205), (30_522, 8192), (2048, None)])
def test_the_budget_of_a_control_counts_with_the_vocabulary_that_there_is(
    asked: int, types: int | None
) -> None:
    base = BASE | {
        "tokenizer": {"source": "train", "vocab_size": asked},
        "model": {"size": "tiny"},
        "masking": {"warmup": 0.0},
    }
    methods = {
        "random": {"masking": {"preset": "random"}},
        "self": {"masking": {"preset": "self-entropy-sample", "warmup": 0.0}},
    }
    data = {"base": base, "methods": methods, "seeds": [0]}
    found = planned(data, types=types)
    [control] = [cell for cell in found.cells if cell.key.startswith("equal-compute")]
    ratio = relative_cost_of_a_fresh_pass(types or asked)
    [run] = [run for run in found.runs if run.cell == control.key]
    assert run.spec.pretraining.budget.steps == round(100 * ratio)
    unsure = [note for note in found.notes if "as asked for" in note]
    assert len(unsure) == (types is None)


def test_an_extension_keeps_the_controls_that_it_has_whatever_is_known_by_now() -> None:
    methods = {name: METHODS[name] for name in ("random", "self")}
    data: dict[str, Any] = {"base": BASE, "methods": methods, "seeds": [0, 1]}
    before = planned(data)
    known = {(run.cell, run.seed): run.id for run in before.runs}
    after = planned(data | {"seeds": [0, 1, 2]}, known=known, settled=before.cells, types=205)
    assert after.cells == before.cells
    assert {run.seed for run in after.new} == {2}
    fresh = planned(data, types=205)
    assert [cell.key for cell in fresh.cells] != [cell.key for cell in before.cells]
