"""`entromask experiment`, `experiments …` and `report` over a real API."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from entromask import cli
from entromask.client import Client
from entromask.experiments import ExperimentSpec
from entromask.resources import Experiment
from entromask.rest.specs import to_send_experiment
from entromask.settings import settings
from tests.entromask.real_api import Api, until

Command = Callable[..., int]
TEXT = """
name: commands
base:
  pretraining: {budget: {steps: 10}}
  tokenizer: {source: train, vocab_size: VOCABULARY}
matrix:
  masking.preset: [random, frequency]
seeds: [0, 1]
controls: false
"""

# One for each test: what has succeeded in another would be taken over.
_vocabularies = itertools.count(512)


@pytest.fixture
def text() -> str:
    return TEXT.replace("VOCABULARY", str(next(_vocabularies)))


@pytest.fixture
def entromask(
    api: Api, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """The console script in this process, talking to the API; returns its exit code."""
    monkeypatch.setenv("ENTROMASK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENTROMASK_API_URL", api.url)
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()

    def call(*words: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["entromask", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    (tmp_path / "e.yaml").write_text(text, encoding="utf-8")
    yield call
    settings.cache_clear()


@pytest.fixture
def made(client: Client, text: str) -> Experiment:
    return client.create_experiment(yaml.safe_load(text))


def ids(found: Experiment) -> list[str]:
    return [run.id for cell in found.cells for run in cell.runs]


def finish(api: Api, client: Client, found: Experiment, fails: bool = False) -> None:
    for id_ in ids(found):
        run = client.get_run(id_)
        if run.status == "queued":
            api.work(run, fails)


def test_a_plan_is_shown_and_nothing_is_queued(
    entromask: Command, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(list(client.list_experiments()))
    assert entromask("experiment", "e.yaml", "--plan", "--set", "seeds=[0, 1, 2]") == 0
    shown = capsys.readouterr()
    assert "6 runs, 6 to be done, in 12 jobs" in shown.out
    assert [line.split()[:2] for line in shown.out.splitlines()[1:3]] == [
        ["random", "baseline"],
        ["frequency", "method"],
    ]
    assert "no tasks: the report will have losses" in shown.err
    assert entromask("experiment", "e.yaml", "--plan", "--json") == 0
    assert json.loads(capsys.readouterr().out)["new"] == 4
    assert len(list(client.list_experiments())) == before


def test_submitting_prints_the_id_alone_and_shows_the_plan_beside(
    entromask: Command, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entromask("experiment", "e.yaml", "--tag", "t") == 0
    shown = capsys.readouterr()
    found = client.get_experiment(shown.out.strip())
    assert (found.name, found.tags, found.total) == ("commands", ["t"], 4)
    assert "4 runs, 4 to be done" in shown.err


def test_following_ends_with_the_report(
    entromask: Command, api: Api, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {one.id for one in client.list_experiments()}

    def work() -> None:
        with Client(api.url) as other:

            def new() -> list[str]:
                return [one.id for one in other.list_experiments() if one.id not in known]

            until(new)
            finish(api, other, other.get_experiment(new()[0]))

    worker = threading.Thread(target=work)
    worker.start()
    assert entromask("experiment", "e.yaml", "--follow") == 0
    worker.join()
    shown = capsys.readouterr()
    assert "4/4" in shown.err
    assert "random, seed 1: succeeded" in shown.err
    assert shown.out.startswith("# commands")


def test_lists_and_single_experiments_are_shown(
    entromask: Command, made: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entromask("experiments", "--q", made.id) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        [made.id, "commands", "queued", "0", "of", "4"]
    ]
    # The beginning of an id is enough, also without its kind.
    assert entromask("experiments", "show", made.id.removeprefix("exp_")[:20]) == 0
    shown = capsys.readouterr().out
    assert "4 queued" in shown
    assert all(id_ in shown for id_ in ids(made))
    assert entromask("experiments", "show", made.id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == made.id
    assert entromask("experiments", "show", "exp_none") == 2
    assert "error: no experiment 'exp_none'" in capsys.readouterr().err


def test_an_experiment_is_extended_cancelled_continued_and_deleted(
    entromask: Command, api: Api, client: Client, made: Experiment, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "more.yaml").write_text("matrix: {masking.preset: [whole-word]}\n")
    assert entromask("experiments", "extend", made.id, "--seed", 2, "--with", "more.yaml") == 0
    assert capsys.readouterr().out == f"{made.id} queued: 9 queued\n"
    assert entromask("experiments", "cancel", made.id) == 0
    assert capsys.readouterr().out == f"{made.id} cancelled: 9 cancelled\n"
    assert entromask("experiments", "cancel", made.id) == 1
    assert "is over and cannot be cancelled" in capsys.readouterr().err
    assert entromask("experiments", "retry", made.id) == 0
    assert capsys.readouterr().out == f"{made.id} queued: 9 queued\n"
    assert entromask("experiments", "delete", made.id) == 1
    finish(api, client, client.get_experiment(made))
    assert entromask("experiments", "delete", made.id) == 0
    assert client.get_run(ids(made)[0]).status == "succeeded"
    (tmp_path / "bad.yaml").write_text("base: {}\n")
    assert entromask("experiments", "extend", made.id, "--with", "bad.yaml") == 2
    assert "the key 'base' cannot be added to" in capsys.readouterr().err


def test_a_failed_experiment_is_an_exit_code(
    entromask: Command, api: Api, client: Client, made: Experiment,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    finish(api, client, made, fails=True)
    assert entromask("experiments", "follow", made.id) == 1
    assert "random, seed 0: failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("style", "beginning"),
    [
        ("md", "# commands"),
        ("latex", r"\documentclass"),
        ("html", "<!doctype html>"),
        ("json", "{"),
        ("csv", ""),
    ],
)
def test_the_report_of_what_there_is_can_be_had_at_any_time(
    entromask: Command, made: Experiment, style: str, beginning: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert entromask("report", made.id, "--format", style) == 0
    text = capsys.readouterr().out
    assert text.lower().startswith(beginning)
    assert entromask("report", made.id, "--format", style, "--output", "new/report") == 0
    assert (tmp_path / "new" / "report").read_text(encoding="utf-8") == text


def test_a_format_that_is_none_is_refused(
    entromask: Command, made: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entromask("report", made.id, "--format", "pdf") == 2
    assert "error: no format 'pdf'" in capsys.readouterr().err


def test_local_paths_are_sent_in_full_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path / "text")
    sent = to_send_experiment(
        {
            "base": {"corpus": {"source": "local", "path": "text"}, "teacher": {"run": "big"}},
            "methods": {"a": {"corpus.path": "text"}, "b": {"model": {"init": {"path": "text"}}}},
            "teachers": {"big": {"evaluation.source": {"local": ["text", "/other"]}}},
            "matrix": {
                "corpus": [{"source": "builtin"}, {"source": "local", "path": "text"}],
                "corpus.path": ["text"],
                "masking.rate": [0.1],
            },
        }
    )
    assert sent["base"] == {"corpus": {"source": "local", "path": here}, "teacher": {"run": "big"}}
    assert sent["methods"] == {"a": {"corpus.path": here}, "b": {"model": {"init": {"path": here}}}}
    assert sent["teachers"] == {"big": {"evaluation.source": {"local": [here, "/other"]}}}
    assert sent["matrix"] == {
        "corpus": [{"source": "builtin"}, {"source": "local", "path": here}],
        "corpus.path": [here],
        "masking.rate": [0.1],
    }


def test_the_schema_of_an_experiment_is_printed(
    entromask: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entromask("schema", "--experiment") == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(ExperimentSpec.model_fields)
