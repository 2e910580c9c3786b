"""The command line from outside: exit codes, sentences and hints, formats."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from entromask import cli
from entromask.demo import PRESETS, demo_spec
from entromask.doctor import diagnose
from entromask.presets import MASKING_PRESETS
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.entromask.analysis import build

Command = Callable[..., int]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An ENTROMASK_HOME of the test's own."""
    monkeypatch.setenv("ENTROMASK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ENTROMASK_GLUE_DIR", raising=False)
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def entromask(home: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The console script in this process; returns its exit code."""

    def call(*words: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["entromask", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    return call


def spec_file(folder: Path, text: str = "name: a\n") -> Path:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_version(entromask: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert entromask("--version") == 0
    assert capsys.readouterr().out.startswith("entromask 0.")


def test_help_names_every_command(entromask: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert entromask("--help") == 0
    text = capsys.readouterr().out
    for command in ("run", "demo", "compare", "schema", "strategies", "doctor"):
        assert f" {command} " in text


@pytest.mark.parametrize("words", [["run"], ["nope"], ["compare"], ["run", "a", "--nope"]])
def test_a_wrong_usage_exits_2(entromask: Command, words: list[str]) -> None:
    assert entromask(*words) == 2


def test_what_a_spec_costs_is_said_before_the_run(
    entromask: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spec_file(
        tmp_path, "masking: {preset: self-entropy-high}\ncorpus: {source: local, path: no.txt}\n"
    )
    assert entromask("run", path, "--output", tmp_path / "out") == 2
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith("note: fresh scores of the model itself take one more forward pass")
    assert any(line.startswith("error: no corpus at no.txt") for line in others)


@pytest.mark.parametrize(
    ("text", "sets", "sentence"),
    [
        ("maskin: {}\n", [], "unknown key 'maskin' (did you mean 'masking'?)"),
        ("name: a\n", ["masking.rate=1.2"], "masking.rate"),
        ("name: a\n", ["seed"], "--set 'seed' is not of the form a.b=c"),
        ("distillation: {}\n", [], "distillation needs a teacher, and teacher is null"),
    ],
)
def test_an_invalid_spec_is_one_sentence_with_a_hint_and_writes_nothing(
    entromask: Command,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    sets: list[str],
    sentence: str,
) -> None:
    path = spec_file(tmp_path, text)
    options = [word for override in sets for word in ("--set", override)]
    assert entromask("run", path, *options, "--output", tmp_path / "out") == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert sentence in lines[0]
    assert lines[1].startswith("hint: ")
    assert not home.exists()
    assert not (tmp_path / "out").exists()


def test_a_missing_spec_file_is_named(
    entromask: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entromask("run", tmp_path / "none.yaml") == 2
    assert f"error: no spec file {tmp_path / 'none.yaml'}" in capsys.readouterr().err


def crash() -> None:
    raise RuntimeError("the sky\nfell")


def test_an_unexpected_failure_is_one_line_and_its_traceback_is_kept(
    entromask: Command,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "app", crash)
    assert entromask() == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: unexpected RuntimeError: the sky fell"
    (log,) = (home / "logs").iterdir()
    assert str(log) in hint
    assert "Traceback" in log.read_text()


def test_the_traceback_of_a_run_goes_into_its_own_log(
    entromask: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    spec_file(folder)
    (folder / "log.txt").write_text("before\n")
    monkeypatch.setattr(cli, "app", crash)
    monkeypatch.setattr(cli, "_current", [folder])
    assert entromask() == 1
    text = (folder / "log.txt").read_text()
    assert text.startswith("before\nTraceback")
    assert not home.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_with_130_and_says_how_to_go_on(number: signal.Signals) -> None:
    program = f"""
import os, signal, sys
from entromask import cli
def body():
    with cli._cancellable("entromask run a --resume"):
        os.kill(os.getpid(), {int(number)})
        signal.pause()
cli.app = cli.typer.Typer()
cli.app.command()(body)
sys.argv = ["entromask"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr.splitlines() == ["cancelled", "hint: to continue: entromask run a --resume"]


def test_schema_is_json_schema(entromask: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert entromask("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["additionalProperties"] is False
    assert {"corpus", "masking", "evaluation"} <= set(schema["properties"])


def test_strategies_list_every_preset(
    entromask: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entromask("strategies", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(MASKING_PRESETS)
    assert rows["span"]["parts"] == {"unit": "span"}
    assert entromask("strategies") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in rows)


def finished(folder: Path) -> list[Path]:
    return [
        build.write(folder / "a", "a", {"rte": (0.55, 0.56)}),
        build.write(folder / "b", "b", {"rte": (0.60, 0.61)}),
    ]


def test_compare_prints_runs_by_path_and_by_id(
    entromask: Command, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = finished(home / "runs")
    assert entromask("compare", runs[0], "b") == 0
    text = capsys.readouterr().out
    assert "60.5 ± 0.7*" in text
    assert "55.5 ± 0.7" in text


@pytest.mark.parametrize(
    ("style", "start"),
    [("md", "| "), ("csv", "run,folder,"), ("latex", "% \\usepackage{booktabs}")],
)
def test_compare_writes_markdown_csv_and_latex(
    entromask: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    style: str,
    start: str,
) -> None:
    assert entromask("compare", *finished(tmp_path), "--format", style) == 0
    assert capsys.readouterr().out.startswith(start)


def test_compare_takes_differences_to_a_baseline(
    entromask: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = finished(tmp_path)
    assert entromask("compare", *runs, "--baseline", runs[1]) == 0
    assert "−5.0 ± 1.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--format", "pdf"], "no format 'pdf'"),
        (["--baseline", "c"], "the baseline 'c' is not among the runs"),
        (["none"], "no run 'none'"),
    ],
)
def test_compare_refuses_what_it_cannot_show(
    entromask: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    assert entromask("compare", *finished(tmp_path), *options) == 2
    assert sentence in capsys.readouterr().err


def test_doctor_says_what_is_here(entromask: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert entromask("doctor", "--json") == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert {"Python", "torch", "transformers", "CPU", "Hugging Face Hub"} <= set(checks)
    assert all(check["advice"] for check in checks.values() if check["status"] != "ok")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_doctor_finds_a_home_that_cannot_be_written(
    entromask: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENTROMASK_HOME", str(tmp_path / place))
    settings.cache_clear()
    assert entromask("doctor") == 1
    assert "is a file" in capsys.readouterr().out


def test_doctor_finds_a_glue_folder_that_is_not_there(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTROMASK_GLUE_DIR", f"{tmp_path}:{tmp_path / 'none'}")
    settings.cache_clear()
    found = [check.status for check in diagnose() if check.name == "ENTROMASK_GLUE_DIR"]
    assert found == ["ok", "missing"]


def test_doctor_says_which_redis_a_service_would_use(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [own] = [check for check in diagnose() if check.name == "Redis server"]
    assert Path(own.found).is_file()
    monkeypatch.setenv("ENTROMASK_REDIS_URL", "redis://:secret@queue:6379")
    settings.cache_clear()
    [other] = [check for check in diagnose() if check.name == "Redis server"]
    assert other.status == "ok"
    assert "secret" not in other.found


def test_the_demo_is_three_strategies_that_differ_in_the_masking_alone() -> None:
    specs = {preset: demo_spec(preset, "run_1") for preset in PRESETS}
    shared: list[dict[str, Any]] = [
        {key: part for key, part in spec.items() if key not in ("name", "masking", "teacher")}
        for spec in specs.values()
    ]
    assert shared[0] == shared[1] == shared[2]
    assert specs["teacher-masked-entropy-sample"]["teacher"] == {"run": "run_1"}
    for preset in ("random", "self-entropy-sample"):
        assert RunSpec.parse(specs[preset]).resolved().masking.preset == preset


def test_the_installed_script_answers() -> None:
    script = Path(sys.executable).with_name("entromask")
    done = subprocess.run([script, "schema"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "RunSpec"
