"""`entromask push` and `download` with the Hub's real client, and a Hub on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import entromask
from backend.store.runs import keep_results
from entromask.analysis import read_run
from entromask.client import Client
from entromask.errors import InputError
from entromask.sharing import publish
from tests.entromask.fake_hub import FakeHub
from tests.entromask.real_api import Api
from tests.entromask.runs import short_evaluation, small_spec, write_corpus

pytestmark = pytest.mark.slow

FILES = [
    "README.md",
    "config.json",
    "model.safetensors",
    "results.json",
    "spec.yaml",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a text in somebody's folder."""
    place = tmp_path_factory.mktemp("share")
    corpus = write_corpus(place / "secret-text.txt")
    spec = small_spec(corpus, evaluation=short_evaluation(place / "glue"))
    spec["pretraining"] |= {"budget": {"steps": 10}}
    return entromask.run(spec, output=place / "run_of_somebody").folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    root = tmp_path / "hub"
    root.mkdir()
    with FakeHub(root=root, writers={"hf_good": "me"}).serving() as serving:
        yield serving


@dataclass
class Box:
    """A machine that knows a Hub, and a token unless it is taken away."""

    folder: Path
    endpoint: str

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if "_OFFLINE" not in name and not name.startswith("HF_")
        }
        own = {
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": "hf_good",
            "HF_HUB_DISABLE_XET": "1",  # whose servers are not the Hub's
            "NO_PROXY": "127.0.0.1",
        }
        return subprocess.run(
            [sys.executable, "-m", "entromask", *words],
            env=inherited | own | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture
def box(tmp_path: Path, hub: FakeHub) -> Box:
    folder = tmp_path / "box"
    folder.mkdir()
    return Box(folder, hub.endpoint)


def test_a_pushed_model_comes_back_and_is_a_teacher(run: Path, hub: FakeHub, box: Box) -> None:
    done = box("push", str(run), "me/tiny", "--private", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["files"] == FILES
    assert answer["commit"].startswith(f"{hub.endpoint}/me/tiny/commit/")
    assert hub.files("models", "me/tiny") == FILES
    assert hub.private == {"me/tiny"}
    assert hub.asked.count("PUT large file") == 1
    pushed = hub.repositories["models", "me/tiny"]
    original = (run / "model" / "model.safetensors").read_bytes()
    assert (pushed / "model.safetensors").read_bytes() == original

    done = box("download", "me/tiny", "--output", "here", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["files"] == FILES
    assert answer["parameters"] > 100_000
    folder = box.folder / "here"
    assert (folder / "model.safetensors").read_bytes() == original
    assert sorted(path.name for path in box.folder.iterdir() if path.name != "hf") == ["here"]
    entromask.RunSpec.parse({"teacher": {"path": str(folder)}}).resolved()

    done = box("download", "me/tiny", "--output", "here")
    assert done.returncode == 2
    assert "here is there already and not empty" in done.stderr


def test_a_second_push_replaces_the_first_and_no_file_of_the_user(
    run: Path, hub: FakeHub, box: Box
) -> None:
    assert box("push", str(run), "me/tiny").returncode == 0
    pushed = hub.repositories["models", "me/tiny"]
    (pushed / "README.md").write_text("an old card")
    (pushed / "model-00001-of-00002.safetensors").write_text("an old shard")
    (pushed / "LICENSE").write_text("mine")
    assert box("push", str(run), "me/tiny").returncode == 0
    assert hub.files("models", "me/tiny") == sorted([*FILES, "LICENSE"])
    assert (pushed / "README.md").read_text() != "an old card"


def test_a_branch_is_made_and_main_stays(run: Path, hub: FakeHub, box: Box) -> None:
    hub.make("models", "me/tiny")
    (hub.repositories["models", "me/tiny"] / ".gitattributes").write_text("")
    done = box("push", str(run), "me/tiny", "--revision", "seed-0")
    assert done.returncode == 0, done.stderr
    assert hub.files("models", "me/tiny") == [".gitattributes"]
    assert hub.files("models", "me/tiny@seed-0") == sorted([".gitattributes", *FILES])


def test_no_path_of_the_machine_is_published(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    config = tmp_path / "run" / "model" / "config.json"
    data = json.loads(config.read_text()) | {"_name_or_path": "/home/somebody/models/bert"}
    config.write_text(json.dumps(data))
    results = tmp_path / "run" / "results.json"
    data = json.loads(results.read_text())
    data["warnings"].append(
        f"{run.parent}/secret-text.txt is small; see {tmp_path / 'run'}/log.txt"
    )
    results.write_text(json.dumps(data))
    found = read_run(str(tmp_path / "run"))
    published = publish(found, tmp_path / "out")
    assert published.shortened
    for file in published.folder.iterdir():
        content = file.read_bytes()
        assert str(tmp_path).encode() not in content, file
        assert str(run.parent).encode() not in content, file
        assert b"/home/somebody" not in content, file
    spec = yaml.safe_load((published.folder / "spec.yaml").read_text())
    assert spec["corpus"]["path"] == "secret-text.txt"
    card = (published.folder / "README.md").read_text()
    assert "Paths of the machine that it was made on are shortened" in card
    assert "secret-text.txt is small; see run/log.txt" in card
    results_there = json.loads((published.folder / "results.json").read_text())
    assert results_there["spec_hash"] == found.spec.spec_hash
    # Everything else is as it was.
    assert (published.folder / "tokenizer.json").read_bytes() == (
        run / "model" / "tokenizer.json"
    ).read_bytes()


def test_a_run_without_paths_says_nothing_of_them(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "spec.yaml"
    spec = yaml.safe_load(file.read_text()) | {"corpus": {"source": "builtin"}}
    spec["evaluation"]["source"] = None
    file.write_text(yaml.safe_dump(spec))
    published = publish(read_run(str(tmp_path / "run")), tmp_path / "out")
    assert not published.shortened
    assert "shortened" not in (published.folder / "README.md").read_text()


def test_a_dry_run_writes_what_would_go_and_asks_nobody(run: Path, hub: FakeHub, box: Box) -> None:
    done = box(
        "push", str(run), "me/tiny", "--dry-run", "--output", "look", ENTROMASK_HUB="offline"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == FILES
    assert sorted(path.name for path in (box.folder / "look").iterdir()) == FILES
    assert "paths of this machine are shortened" in done.stderr
    assert hub.asked == []


@pytest.mark.parametrize(
    ("words", "environment", "message", "hint"),
    [
        (["me/tiny"], {"HF_TOKEN": ""}, "there is no token", "hf auth login"),
        (["me/tiny"], {"HF_TOKEN": "hf_bad"}, "does not accept the token", "HF_TOKEN"),
        (["you/tiny"], {}, "the token may not write to 'you/tiny'", "organisation"),
        (["me/taken"], {}, "holds files of something else: train.py", "another name"),
        (["tiny"], {}, "'tiny' is no repository of the Hub", "NAMESPACE/NAME"),
        (["me/tiny"], {"ENTROMASK_HUB": "offline"}, "which is switched off", "--dry-run"),
        (["me/tiny"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached", "--dry-run"),
    ],
)
def test_a_push_that_cannot_be_is_one_sentence_with_a_hint(
    words: list[str],
    environment: dict[str, str],
    message: str,
    hint: str,
    run: Path,
    hub: FakeHub,
    box: Box,
) -> None:
    hub.make("models", "me/taken")
    taken = hub.repositories["models", "me/taken"]
    (taken / "train.py").write_text("")
    done = box("push", str(run), *words, **environment)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"], done.stderr
    assert message in lines[0]
    assert hint in lines[1]
    assert list(hub.repositories) == [("models", "me/taken")]
    assert hub.files("models", "me/taken") == ["train.py"]


def test_a_model_of_pickles_alone_is_not_fetched(hub: FakeHub, box: Box) -> None:
    hub.make("models", "me/old")
    folder = hub.repositories["models", "me/old"]
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    done = box("download", "me/old")
    assert done.returncode == 2
    assert "the model 'me/old' has no safetensors weights" in done.stderr
    assert not any("resolve" in asked for asked in hub.asked)
    assert not (box.folder / "old").exists()


def test_code_and_pickles_beside_safetensors_stay_there(run: Path, hub: FakeHub, box: Box) -> None:
    hub.make("models", "me/mixed", run / "model")
    for name in ("pytorch_model.bin", "modeling_own.py", "optimizer.pt"):
        (hub.repositories["models", "me/mixed"] / name).write_bytes(b"anything")
    done = box("download", "me/mixed")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mixed\n"
    assert "teacher: {path: mixed}" in done.stderr
    assert sorted(path.name for path in (box.folder / "mixed").iterdir()) == [
        name for name in FILES if name not in ("results.json", "spec.yaml")
    ]


def test_a_model_that_does_not_load_is_not_left_as_if_it_did(
    run: Path, hub: FakeHub, box: Box
) -> None:
    hub.make("models", "me/broken", run / "model")
    weights = hub.repositories["models", "me/broken"] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    done = box("download", "me/broken")
    assert done.returncode == 2
    sentence = "the model 'me/broken' cannot be used: model.safetensors is truncated"
    assert sentence in done.stderr
    assert not (box.folder / "broken").exists()


def on_the_service(client: Client, api: Api, run: Path) -> str:
    made = client.create_run({"name": "of the service"})
    shutil.copytree(run, api.folder(made), dirs_exist_ok=True)
    api.work(made)
    return made.id


def test_a_run_of_the_service_is_pushed_and_downloaded(
    run: Path, hub: FakeHub, box: Box, api: Api, client: Client
) -> None:
    id_ = on_the_service(client, api, run)
    there = {"ENTROMASK_API_URL": api.url, "ENTROMASK_HOME": str(box.folder / "home")}
    done = box("push", id_, "me/served", **there)
    assert done.returncode == 0, done.stderr
    assert hub.files("models", "me/served") == FILES
    done = box("download", id_, **there)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{id_}/model\n"
    assert (box.folder / id_ / "model" / "config.json").is_file()
    # The same folder as that of `runs download`, which brings the rest.
    done = box("runs", "download", id_, **there)
    assert done.returncode == 0, done.stderr
    assert (box.folder / id_ / "results.json").is_file()
    done = box("download", id_, "--revision", "main", **there)
    assert done.returncode == 2
    assert "is a run, and has no revision" in done.stderr


def test_an_unfinished_run_of_the_service_is_refused(box: Box, api: Api, client: Client) -> None:
    made = client.create_run({"name": "waits"})
    done = box("push", made.id, "me/waits", "--dry-run", ENTROMASK_API_URL=api.url)
    assert done.returncode == 2
    assert f"run {made.id} is queued, and has no results to publish" in done.stderr


def test_the_intervals_of_an_experiment_stand_in_the_card(
    run: Path, box: Box, api: Api, client: Client, tmp_path: Path
) -> None:
    base = small_spec(Path("text.txt"), corpus={"source": "builtin"})
    base["evaluation"] = short_evaluation(tmp_path / "glue")
    found = client.create_experiment(
        {"name": "e", "base": base, "seeds": [0, 1, 2], "controls": False}
    )
    (cell,) = found.cells
    for score, one in zip((0.52, 0.55, 0.58), cell.runs, strict=True):
        made = client.get_run(str(one.id))
        folder = api.folder(made)
        shutil.copytree(run, folder, dirs_exist_ok=True)
        results = json.loads((folder / "results.json").read_text())
        task = results["tasks"]["sst2"]
        task["score"] = score
        task["metrics"] = {"accuracy": {"mean": score, "sd": 0.0, "per_seed": {"0": score}}}
        (folder / "results.json").write_text(json.dumps(results))
        api.work(made)
        with api.database.write() as session:
            keep_results(session, made.id, results)
    (result,) = (one for one in client.summary(found).cells[0].results if one.measure == "sst2")
    assert result.low is not None
    assert result.high is not None
    there = {"ENTROMASK_API_URL": api.url}
    words = ["push", str(cell.runs[0].id), "me/e", "--dry-run", "--output", "e"]
    done = box(*words, "--experiment", found.id, **there)
    assert done.returncode == 0, done.stderr
    interval = f"{100 * result.low:.1f} to {100 * result.high:.1f} (n = 3)"
    assert f"| 52.0 | {interval} | 1 |" in (box.folder / "e" / "README.md").read_text()

    done = box("push", str(run), "me/e", "--dry-run", "--experiment", found.id, **there)
    assert done.returncode == 1
    assert f"the experiment {found.id} has no run run_of_somebody" in done.stderr


def test_a_run_without_a_model_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    with pytest.raises(InputError, match="holds no model"):
        publish(read_run(str(tmp_path / "run")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_not_written_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is there already and not empty"):
        publish(read_run(str(run)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
