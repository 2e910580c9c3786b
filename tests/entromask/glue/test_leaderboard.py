"""`entromask leaderboard`: from the test predictions of runs to the ZIP."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from entromask.cli import app
from entromask.errors import InputError
from entromask.glue.cells import write_cell
from entromask.glue.submission import FILES, check_submission
from entromask.run_folder import write_atomically, write_json
from entromask.spec import RunSpec

SOME = ("cola", "stsb", "mnli", "rte", "wnli", "ax")
# QQP alone has eleven times as many rows as all others.
ALL = (*SOME, "sst2", "mrpc", "qnli", "qqp")
# By task and fine-tuning seed: seed 1 is better on RTE and MNLI, seed 0 on the others.
BETTER = {"rte": 1, "mnli": 1}


@lru_cache
def predictions(task: str, seed: int) -> dict[str, list[Any]]:
    """Of seed 0 always the first class, of seed 1 the last."""
    found = {}
    for file in FILES:
        if file.task == task:
            count = len(file.labels)
            row: Any = float(seed) if not count else [0.0] * count
            if count:
                row[-1 if seed else 0] = 1.0
            found[file.split] = [row] * file.rows
    return found


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(
        name: str,
        tasks: Sequence[str] = SOME,
        scores: tuple[float, float] = (0.5, 0.6),
        **more: Any,
    ) -> Path:
        folder = tmp_path / name
        (folder / "evaluation").mkdir(parents=True)
        evaluation = {"tasks": list(tasks), "seeds": [0, 1], "predict_test": True} | more
        spec = RunSpec.parse({"name": name, "evaluation": evaluation}).resolved()
        write_atomically(folder / "spec.yaml", spec.to_yaml())
        table = {}
        for task in tasks:
            low, high = scores
            better = BETTER.get(task, 0)
            if task != "ax":
                table[task] = {"per_seed": {str(better): high, str(1 - better): low}}
            for seed in (0, 1):
                cell = {"rows": 1, "test_predictions": predictions(task, seed)}
                write_cell(folder / f"evaluation/{task}-seed{seed}.json", "setup", cell)
        write_json(folder / "results.json", {"tasks": table})
        return folder

    return make


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["leaderboard", *map(str, arguments)])


def words(file: Path, name: str) -> set[str]:
    with zipfile.ZipFile(file) as archive:
        lines = archive.read(name).decode().splitlines()[1:]
    return {line.split("\t")[1] for line in lines}


def refusal(result: Result) -> InputError:
    assert isinstance(result.exception, InputError)
    assert result.exception.hint
    return result.exception


@pytest.mark.slow
def test_a_run_of_all_tasks_becomes_a_zip_that_passes_the_check(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.zip"
    result = call(make_run("whole", ALL), "--output", output)
    assert result.exit_code == 0, result.exception
    assert check_submission(output) == []
    assert "rte: fine-tuning seed 1 of whole, chosen by the development set from 2" in result.output
    assert "cola: fine-tuning seed 0 of whole, chosen by the development set" in result.output
    assert words(output, "RTE.tsv") == {"not_entailment"}
    assert words(output, "CoLA.tsv") == {"0"}
    assert words(output, "STS-B.tsv") == {"0.000"}
    # AX comes from the very model that MNLI comes from.
    assert words(output, "MNLI-m.tsv") == words(output, "AX.tsv") == {"contradiction"}


def test_a_seed_may_be_named(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run, output = make_run("whole"), tmp_path / "out.zip"
    result = call(run, "--output", output, "--fill", "--seed", 0)
    assert "chosen by" not in result.output
    assert words(output, "RTE.tsv") == words(output, "AX.tsv") == {"entailment"}
    assert (
        "fine-tuning seed 7"
        in refusal(call(run, "--output", output, "--force", "--seed", 7)).message
    )


def test_missing_tasks_are_named_or_filled(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run, output = make_run("some", ("rte", "mnli", "stsb")), tmp_path / "out.zip"
    error = refusal(call(run, "--output", output))
    missing = ("CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "QNLI.tsv", "QQP.tsv", "WNLI.tsv", "AX.tsv")
    assert error.message.endswith(", ".join(missing))
    assert not output.exists()
    result = call(run, "--output", output, "--fill")
    assert "a constant prediction, for want of a better one: CoLA.tsv" in result.output
    assert check_submission(output) == []
    assert words(output, "CoLA.tsv") == {"1"}
    assert words(output, "MNLI-mm.tsv") == {"contradiction"}


def test_several_runs_fill_each_others_gaps_and_the_better_one_counts(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    first = make_run("first", SOME[:3])
    second = make_run("second", SOME[2:], scores=(0.7, 0.8))
    output = tmp_path / "out.zip"
    result = call(first, second, "--output", output, "--fill")
    assert result.exit_code == 0, result.exception
    assert "cola: fine-tuning seed 0 of first" in result.output
    assert (
        "mnli: fine-tuning seed 1 of second, chosen by the development set from 4" in result.output
    )
    assert words(output, "AX.tsv") == {"contradiction"}


def test_a_file_is_not_replaced_unasked(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run, output = make_run("some", ("wnli",)), tmp_path / "out.zip"
    output.write_text("mine")
    assert "there already" in refusal(call(run, "--output", output, "--fill")).message
    assert output.read_text() == "mine"
    assert call(run, "--output", output, "--fill", "--force").exit_code == 0
    assert check_submission(output) == []
    assert "is a folder" in refusal(call(run, "--output", tmp_path, "--fill", "--force")).message
    assert {path.name for path in tmp_path.iterdir()} == {"some", "out.zip"}


def test_another_number_of_rows_is_refused(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run("short", ("wnli",))
    few = {"rows": 1, "test_predictions": {"test": [[0.0, 1.0]] * 145}}
    write_cell(run / "evaluation/wnli-seed0.json", "setup", few)
    error = refusal(call(run, "--output", tmp_path / "out.zip", "--fill"))
    assert "wnli: the run predicted 145 rows" in error.message
    assert "146" in error.message


@pytest.mark.parametrize("content", [None, "{"])
def test_a_result_that_is_gone_or_damaged_is_named(
    make_run: Callable[..., Path], tmp_path: Path, content: str | None
) -> None:
    run = make_run("broken", ("wnli",))
    file = run / "evaluation/wnli-seed0.json"
    file.unlink() if content is None else file.write_text(content)
    assert str(file) in refusal(call(run, "--output", tmp_path / "out.zip", "--fill")).message


def test_a_run_that_predicted_no_test_set_is_refused_even_to_be_filled(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run("plain", ("wnli",), predict_test=False)
    error = refusal(call(run, "--output", tmp_path / "out.zip", "--fill"))
    assert "there are no test predictions" in error.message
    assert "evaluation.predict_test" in str(error.hint)
    assert "no run 'none'" in refusal(call("none", "--output", tmp_path / "out.zip")).message
