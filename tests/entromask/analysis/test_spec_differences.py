"""What sets the columns of a comparison apart, by the keys of their specs."""

from __future__ import annotations

from typing import Any

from entromask.analysis import Run, compare
from entromask.analysis.spec_differences import spec_differences
from tests.entromask.analysis import build


def differences(*runs: Run, group: bool = True) -> dict[str, tuple[Any, ...]]:
    found = spec_differences(compare(runs, group=group).columns)
    keys = [one.key for one in found]
    assert len(keys) == len(set(keys))
    return {one.key: one.values for one in found}


def run(name: str, group: str | None = None, **changes: Any) -> Run:
    return build.run(name, group_hash=group or name, spec_changes=changes)


def test_equal_specs_differ_in_nothing_whatever_their_names_and_tags() -> None:
    assert differences(run("a", tags=["x"]), run("b")) == {}
    assert differences(run("a")) == {}


def test_a_key_that_differs_is_dotted_and_has_the_value_of_each_column() -> None:
    rate = {"masking": {"preset": "random", "rate": 0.3}}
    length = {"pretraining": {"budget": {"steps": 9}, "sequence_length": 64}}
    assert differences(run("a"), run("b", **rate), run("c", **length)) == {
        "masking.rate": (0.15, 0.3, 0.15),
        "pretraining.budget.steps": (1000, 1000, 9),
        "pretraining.sequence_length": (128, 128, 64),
    }


def test_a_key_that_a_column_lacks_has_no_value_there() -> None:
    other = {"corpus": {"source": "local", "path": "/x"}}
    found = differences(run("a"), run("b", **other))
    assert found["corpus.source"] == ("builtin", "local")
    assert found["corpus.path"] == (None, "/x")


def test_seeds_are_no_difference_where_all_columns_have_the_same() -> None:
    def seeds(name: str, *numbers: int) -> list[Run]:
        return [run(f"{name}-s{n}", group=name, seed=n) for n in numbers]

    assert differences(*seeds("a", 0, 10, 9), *seeds("b", 9, 0, 10)) == {}
    assert differences(*seeds("a", 10, 0, 9), *seeds("b", 0)) == {"seed": ([0, 9, 10], 0)}
    assert differences(*seeds("a", 0, 1), group=False) == {"seed": (0, 1)}
