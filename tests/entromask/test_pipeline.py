from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import entromask
from entromask.errors import EntromaskError, InputError
from tests.entromask.runs import (
    STEPS,
    events,
    execute,
    interrupt_at,
    short_evaluation,
    small_spec,
    weights,
    write_corpus,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def corpus(place: Path) -> Path:
    return write_corpus(place / "corpus.txt")


@pytest.fixture(scope="module")
def finished(place: Path, corpus: Path) -> Path:
    """A finished random run, which later tests use as teacher and as start."""
    return entromask.run(small_spec(corpus), output=place / "finished").folder


def _spec(kind: str, corpus: Path, teacher: Path) -> dict[str, Any]:
    spec = small_spec(corpus)
    if kind == "teacher":
        spec["teacher"] = {"path": str(teacher / "model")}
        spec["masking"] = {"preset": "teacher-masked-entropy-sample"}
    elif kind == "self":
        spec["corpus"]["max_tokens"] = 3000  # several epochs, so that masks repeat
        spec["masking"] = {"preset": "self-entropy-sample", "warmup": 0.3, "explore": 0.2}
    elif kind == "self-masked":
        spec["corpus"]["max_tokens"] = 1500
        spec["masking"] = {"preset": "self-masked-entropy-sample", "warmup": 0.3}
    elif kind == "self-visible-cached":
        spec["corpus"]["max_tokens"] = 1500
        spec["masking"] = {"preset": "self-entropy-sample", "refresh": "cached", "warmup": 0.1}
        spec["pretraining"] = spec["pretraining"] | {"gradient_accumulation": 3}
    elif kind == "self-ema":
        spec["masking"] = {"preset": "self-entropy-high", "source": "self-ema", "warmup": 0.1}
    elif kind == "amlm":
        # Weights change after 200 steps.
        spec["masking"] = {"preset": "time-variant"}
        spec["pretraining"] = spec["pretraining"] | {"budget": {"steps": 230}}
    elif kind == "span":
        spec["masking"] = {"preset": "span", "score": "frequency", "explore": 0.1}
    elif kind.startswith("distilled"):
        spec["teacher"] = {"path": str(teacher / "model")}
        spec["distillation"] = {"refresh": "cached"} if kind.endswith("cached") else {}
    elif kind == "dropout":
        spec["model"] = {"architecture": "bert", "size": "tiny", "dropout": 0.1}
        spec["pretraining"] = spec["pretraining"] | {"gradient_accumulation": 2}
    return spec


def test_a_run_writes_the_folder_of_the_contract(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "spec.yaml",
        "environment.json",
        "events.jsonl",
        "checkpoints",
        "model",
        "results.json",
        "log.txt",
    }
    results = json.loads((finished / "results.json").read_text())
    text = results["text"]
    assert text["documents"] + text["validation_documents"] == 12
    assert text["tokens"] == 32 * text["rows"] > 0
    assert text["replaced_characters"] == 0
    [told] = [event["message"] for event in events(finished) if event["type"] == "text"]
    assert f"{text['rows']:,} rows" in told
    assert results["validation"]["unigram_loss"] > 0
    assert results["validation"]["loss"] < 6.5
    assert results["cost"]["tokens"] == STEPS * 8 * 32
    assert results["cost"]["flops"] > 0
    assert results["diagnostics"]["position_coverage"] > 0.1
    numbers = [event["seq"] for event in events(finished)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [event["message"] for event in events(finished) if event["type"] == "stage"] == [
        "preparing",
        "pretraining",
        "reporting",
    ]


def test_the_model_loads_with_plain_transformers(finished: Path) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

    model = AutoModelForMaskedLM.from_pretrained(finished / "model")
    tokenizer = AutoTokenizer.from_pretrained(finished / "model")
    assert model.get_output_embeddings().weight.shape[0] == len(tokenizer)
    fill = pipeline("fill-mask", model=str(finished / "model"))
    guesses = fill("the [MASK] of a string .")
    assert len(guesses) == 5
    assert all(0 < guess["score"] < 1 for guess in guesses)


def test_the_same_spec_twice_gives_the_same_bytes(
    place: Path, corpus: Path, finished: Path
) -> None:
    again = entromask.run(small_spec(corpus), output=place / "again").folder
    assert weights(again) == weights(finished)
    other = entromask.run(small_spec(corpus, seed=1), output=place / "other-seed").folder
    assert weights(other) != weights(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "random",
        "teacher",
        "self",
        "dropout",
        "self-masked",
        *(
            pytest.param(kind, marks=pytest.mark.faults)
            for kind in (
                "self-visible-cached",
                "self-ema",
                "amlm",
                "span",
                "distilled",
                "distilled-cached",
            )
        ),
    ],
)
def test_a_killed_and_resumed_run_gives_the_same_bytes(
    kind: str, place: Path, corpus: Path, finished: Path
) -> None:
    spec = _spec(kind, corpus, finished)
    entromask.run(spec, output=place / f"{kind}-straight")
    # Any moment of the pretraining, also while a checkpoint is being written.
    count = random.randint(1, 4)
    code = interrupt_at(
        spec,
        place / f"{kind}-killed",
        lambda seen: sum(event["type"] == "checkpoint" for event in seen) >= count,
        signal.SIGKILL,
    )
    assert code == -signal.SIGKILL
    assert not (place / f"{kind}-killed" / "model").exists()
    entromask.run(spec, output=place / f"{kind}-killed", resume=True)
    assert weights(place / f"{kind}-killed") == weights(place / f"{kind}-straight")
    # Checkpoints lie every 5 steps, the mean loss is of 10: half a window is kept over a restart.
    assert _curve(place / f"{kind}-killed") == _curve(place / f"{kind}-straight")
    assert _looks(place / f"{kind}-killed") == _looks(place / f"{kind}-straight")
    steps = [
        event["step"] for event in events(place / f"{kind}-killed") if event["type"] == "resumed"
    ]
    assert steps, "the run began again instead of resuming"
    assert steps[0] >= 5 * count
    first, second = (
        json.loads((place / f"{kind}-{name}" / "results.json").read_text())
        for name in ("straight", "killed")
    )
    assert first["validation"] == second["validation"]
    assert first["diagnostics"] == second["diagnostics"]


@pytest.mark.slow
def test_a_termination_writes_a_checkpoint_and_exits_130(place: Path, corpus: Path) -> None:
    spec = small_spec(corpus)
    spec["pretraining"] = spec["pretraining"] | {"checkpoint_every": 1000, "budget": {"steps": 400}}
    folder = place / "terminated"
    code = interrupt_at(
        spec,
        folder,
        lambda seen: any(event["type"] == "progress" and "metrics" in event for event in seen),
        signal.SIGTERM,
    )
    assert code == 130
    assert len(list((folder / "checkpoints").iterdir())) == 1


@pytest.mark.slow
def test_a_corrupt_checkpoint_is_said_and_the_one_before_is_used(
    place: Path, corpus: Path, finished: Path
) -> None:
    folder = place / "corrupt"
    interrupt_at(
        small_spec(corpus),
        folder,
        lambda seen: sum(event["type"] == "checkpoint" for event in seen) >= 3,
        signal.SIGKILL,
    )
    latest = max(folder.glob("checkpoints/step-*"), key=lambda path: int(path.name[5:]))
    damaged = latest / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100] + bytes(100))
    entromask.run(small_spec(corpus), output=folder, resume=True)
    warnings = [event["message"] for event in events(folder) if event["type"] == "warning"]
    assert any(latest.name in warning and "damaged" in warning for warning in warnings)
    assert weights(folder) == weights(finished)


def test_a_folder_of_another_run_is_refused_untouched(corpus: Path, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(InputError, match="holds another run, 'small' with seed 0"):
        entromask.run(small_spec(corpus, seed=5), output=finished, resume=True)
    with pytest.raises(InputError, match="holds this run already"):
        entromask.run(small_spec(corpus), output=finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def _curve(folder: Path) -> dict[int, float]:
    """The training loss by step; of a step that was done twice, the later one."""
    return {
        event["step"]: event["metrics"]["training_loss"]
        for event in events(folder)
        if "training_loss" in event.get("metrics", {})
    }


def _looks(folder: Path) -> dict[int, dict[str, float]]:
    """The metrics of each common validation by step; of one that was done twice, the later."""
    return {
        event["step"]: event["metrics"] for event in events(folder) if event["type"] == "metrics"
    }


def test_each_common_validation_tells_entropy_and_the_repeats_of_its_window(
    place: Path, corpus: Path
) -> None:
    # 93 rows, of which a step takes 8: an epoch ends after 11 steps.
    few = {"source": "local", "path": str(corpus), "max_tokens": 3000}
    looks = _looks(entromask.run(small_spec(corpus, corpus=few), output=place / "looked-at").folder)
    assert list(looks) == [10, 20, 30]
    for metrics in looks.values():
        # The model is hardly trained: its predictions are nearly flat over 400 types.
        assert 0.8 * np.log(400) < metrics["validation_entropy"] <= np.log(400)
        assert metrics["validation_entropy"] != metrics["validation_loss"]
    repeats = [metrics.get("mask_repeat_rate") for metrics in looks.values()]
    assert repeats[0] is None
    assert all(rate is not None and 0 < rate < 0.4 for rate in repeats[1:])


def test_resuming_a_finished_run_shows_its_results(corpus: Path, finished: Path) -> None:
    results = entromask.run(small_spec(corpus), output=finished, resume=True)
    assert results.data == json.loads((finished / "results.json").read_text())


def test_files_that_are_no_run_are_left_alone(place: Path, corpus: Path) -> None:
    folder = place / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty and holds no run"):
        entromask.run(small_spec(corpus), output=folder, resume=True)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_pretraining_continues_from_a_model(place: Path, corpus: Path, finished: Path) -> None:
    spec = small_spec(corpus, model={"init": {"run": str(finished)}}, tokenizer=None)
    # Steps too small to move: what is scored is the model that the run began with.
    spec["pretraining"] = spec["pretraining"] | {"learning_rate": 1e-9}
    continued = entromask.run(spec, output=place / "continued")
    before = json.loads((finished / "results.json").read_text())
    loss = before["validation"]["loss"]
    assert continued.data["validation"]["loss"] == pytest.approx(loss, abs=1e-4)
    config = json.loads((continued.folder / "model" / "config.json").read_text())
    assert config["model_type"] == "modernbert"


@pytest.mark.faults
@pytest.mark.parametrize("key", ["model.init", "teacher"])
def test_a_run_from_a_checkpoint_goes_on_when_the_checkpoint_has_gone(
    key: str, place: Path, corpus: Path, finished: Path
) -> None:
    source = place / f"source-of-{key}"
    shutil.copytree(finished, source)
    step = max(int(path.name[5:]) for path in (source / "checkpoints").glob("step-*"))
    reference = {"run": str(source), "checkpoint": step}
    spec = small_spec(corpus, tokenizer=None)
    if key == "teacher":
        spec |= {"teacher": reference, "distillation": {}}
    else:
        spec["model"] = {"init": reference}
    straight = entromask.run(spec, output=place / f"straight-{key}")
    killed = place / f"killed-{key}"
    interrupt_at(
        spec,
        killed,
        lambda seen: any(event["type"] == "checkpoint" for event in seen),
        signal.SIGKILL,
    )
    shutil.rmtree(source / "checkpoints")
    entromask.run(spec, output=killed, resume=True)
    assert weights(killed) == weights(straight.folder)


@pytest.mark.slow
def test_a_teacher_may_be_of_another_architecture(place: Path, corpus: Path, home: Path) -> None:
    spec = small_spec(corpus, model={"architecture": "distilbert", "size": "tiny"})
    teacher = entromask.run(spec, output=place / "distilbert")
    # Thirty steps leave entropies that round to two or three levels of the store, and chance
    # decides between equal scores; wide random weights spread them.
    file = teacher.folder / "model" / "model.safetensors"
    random_numbers = torch.Generator().manual_seed(0)
    wide = {
        name: 0.4 * torch.randn(t.shape, generator=random_numbers) if t.dim() > 1 else t
        for name, t in load_file(file).items()
    }
    save_file(wide, file, metadata={"format": "pt"})
    spec = small_spec(
        corpus,
        corpus={"source": "local", "path": str(corpus), "max_tokens": 3000},
        tokenizer=None,
        teacher={"run": str(teacher.folder)},
        masking={"preset": "teacher-entropy-high"},
    )
    results = entromask.run(spec, output=place / "of-distilbert")
    expected, tied = _repeats_and_ties_of_top((home / "cache" / "scores").glob("*/scores.u8"))
    assert expected > 0.95
    assert results.data["diagnostics"]["mask_repeat_rate"] == pytest.approx(expected, abs=0.01)
    assert results.data["diagnostics"]["tied_share"] == pytest.approx(tied, abs=0.02)
    assert results.data["cost"]["scoring_flops"] > 0
    assert results.data["diagnostics"]["teacher_score_levels"] > 10
    # Its curves over compute begin with what the scores cost, also of a run that found them.
    again = entromask.run(spec | {"seed": 1}, output=place / "of-distilbert-1")
    for one in (results, again):
        first = next(
            event
            for event in events(one.folder)
            if "metrics" in event and "step" in event and event["stage"] == "pretraining"
        )
        cost = one.data["cost"]
        names = ("scoring_flops", "scoring_seconds")
        assert (first["step"], first["metrics"]) == (0, {name: cost[name] for name in names})
        assert cost["scoring_flops"] == results.data["cost"]["scoring_flops"]


def _repeats_and_ties_of_top(
    stores: Iterable[Path], length: int = 32, masked: int = 4
) -> tuple[float, float]:
    """How often a mask of the `masked` highest stored scores comes again; what ties decide of it.

    What lies above the lowest score taken always does; of `at` positions with that score `room`
    are drawn each time, so that each is drawn again with probability room / at.
    """
    (store,) = stores
    rates, ties = [], []
    for row in np.fromfile(store, np.uint8).reshape(-1, length):
        cut = np.sort(row)[-masked]
        above, at = int((row > cut).sum()), int((row == cut).sum())
        room = masked - above
        rates.append((above + room * room / at) / masked)
        ties.append((room if room < at else 0) / masked)
    return float(np.mean(rates)), float(np.mean(ties))


def test_self_masking_waits_for_the_plateau(place: Path, corpus: Path) -> None:
    spec = small_spec(corpus, masking={"preset": "self-entropy-sample"})
    results = entromask.run(spec, output=place / "self-waits")
    exit_step = results.data["diagnostics"]["plateau_exit_step"]
    start_step = results.data["diagnostics"]["strategy_start_step"]
    assert start_step == exit_step
    assert exit_step is None or exit_step > 0


def _changed(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    spec = json.loads(json.dumps(spec))
    *parents, last = path.split(".")
    place = spec
    for parent in parents:
        place = place[parent]
    place[last] = value
    return spec


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("pretraining.bugdet", {"steps": 1}, "did you mean 'budget'"),
        ("masking.rate", 0, "greater than 0"),
        ("masking.rate", 1.2, "less than 1"),
        ("masking.corruption", [0.5, 0.5, 0.5], "add up to 1"),
        ("corpus.path", "nowhere.txt", "nowhere.txt"),
        ("pretraining.sequence_length", 8192, "too few for one row of 8,192"),
        ("pretraining.batch_size", 100000, "batch_size 100000"),
        ("model.init", {"path": "no/model"}, "no model folder no/model"),
        ("evaluation", {"tasks": ["rte"], "source": {"local": "no/glue"}}, "no/glue"),
        ("distillation", {"weight": 0.5}, "distillation needs a teacher, and teacher is null"),
        (
            "masking",
            {"preset": "self-masked-entropy-sample"},
            "with 30 steps, and .* make an epoch: no position comes twice",
        ),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_written(
    path: str, value: Any, words: str, place: Path, corpus: Path
) -> None:
    spec = small_spec(corpus)
    if path == "model.init":
        spec["model"] = {}
        spec["tokenizer"] = None
    folder = place / "refused"
    with pytest.raises(InputError, match=words) as caught:
        entromask.run(_changed(spec, path, value), output=folder)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert not folder.exists()


def test_the_hub_without_a_network_is_refused_at_once(place: Path, corpus: Path) -> None:
    spec = small_spec(corpus, model={"init": {"hub": "someone/something"}}, tokenizer=None)
    with pytest.raises(EntromaskError, match="someone/something") as caught:
        entromask.run(spec, output=place / "from-the-hub")
    assert caught.value.exit_code == 2
    assert not (place / "from-the-hub").exists()


def test_a_teacher_with_another_tokenizer_is_refused(
    place: Path, corpus: Path, finished: Path
) -> None:
    spec = small_spec(
        corpus,
        tokenizer={"source": "train", "vocab_size": 300},
        teacher={"run": str(finished)},
        masking={"preset": "teacher-entropy-sample"},
    )
    with pytest.raises(InputError, match="another tokenizer"):
        entromask.run(spec, output=place / "other-tokenizer")


def test_a_model_without_a_masked_lm_head_is_refused(
    place: Path, corpus: Path, finished: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = place / "classifier"
    shutil.copytree(finished / "model", folder)
    classifier = AutoModelForSequenceClassification.from_pretrained(finished / "model")
    classifier.save_pretrained(folder)
    spec = small_spec(corpus, model={"init": {"path": str(folder)}}, tokenizer=None)
    with pytest.raises(InputError, match="not a masked language model"):
        entromask.run(spec, output=place / "from-classifier")


@pytest.mark.slow
def test_two_processes_train_what_one_trains(place: Path, corpus: Path, finished: Path) -> None:
    import subprocess
    import sys

    from safetensors.torch import load_file

    from tests.entromask.runs import command

    folder = place / "two-processes"
    _, _, code, *arguments = command(small_spec(corpus), folder)
    script = place / "run_entromask.py"
    script.write_text(code)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    done = subprocess.run(
        [*launch, "--num_cpu_threads_per_process", "1", str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one = load_file(finished / "model" / "model.safetensors")
    two = load_file(folder / "model" / "model.safetensors")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-2, atol=2e-3)


@pytest.mark.slow
def test_no_steps_of_pretraining_give_the_floor_of_every_method(
    corpus: Path, tmp_path: Path
) -> None:
    pretraining = {"budget": {"steps": 0}, "batch_size": 8, "sequence_length": 32}
    evaluation = short_evaluation(tmp_path / "glue")
    spec = small_spec(corpus, pretraining=pretraining, evaluation=evaluation)
    done = execute(spec, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["cost"]["steps"] == results["cost"]["tokens"] == results["cost"]["flops"] == 0
    # Nothing was learned: the loss is that of guessing, far above that of word frequencies.
    assert results["validation"]["loss"] > results["validation"]["unigram_loss"]
    assert results["tasks"]["sst2"]["rows"] == 20
    other = execute({**spec, "seed": 1}, tmp_path / "other")
    assert other.returncode == 0, other.stderr
    assert weights(tmp_path / "other") != weights(tmp_path / "run")
