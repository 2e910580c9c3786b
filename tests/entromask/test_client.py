"""The client against the real API, also where the network between them breaks."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.store.jobs import claim
from entromask import cli
from entromask.client import ApiError, Client, UnreachableError, WaitTimeoutError
from entromask.errors import EntromaskError, InputError
from entromask.resources import Event, Run
from entromask.rest.downloads import place
from entromask.rest.follow import frames
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.entromask.real_api import Api, until
from tests.faulty_proxy import FaultyProxy

SPEC: dict[str, Any] = {"name": "small", "pretraining": {"budget": {"steps": 3}}}


def test_a_run_is_made_read_changed_and_deleted(client: Client) -> None:
    run = client.create_run(SPEC, tags=["a"], notes="n", priority=3)
    assert (run.status, run.name, run.tags, run.priority) == ("queued", "small", ["a"], 3)
    changed = client.update_run(run, name="other", tags=["b"])
    assert (changed.name, changed.tags, changed.notes) == ("other", ["b"], "n")
    assert client.cancel(run).status == "cancelled"
    assert client.resume(run.id).status == "queued"
    assert client.kill(run).status == "cancelled"
    client.delete_run(run)
    with pytest.raises(ApiError) as gone:
        client.get_run(run)
    assert (gone.value.status, gone.value.code) == (404, "not_found")


def test_a_clone_has_the_spec_with_its_changes(client: Client) -> None:
    run = client.create_run(SPEC)
    made = client.clone(run, {"seed": 7, "pretraining.budget.steps": 5})
    assert (made.seed, made.spec["pretraining"]["budget"]["steps"]) == (7, 5)
    assert made.group_hash != run.group_hash


def test_validation_stores_nothing(client: Client) -> None:
    before = len(list(client.list_runs()))
    found = client.validate_run(SPEC)
    assert found.spec_hash == RunSpec.parse(SPEC).spec_hash
    assert found.spec["tokenizer"]["vocab_size"] == 8192
    assert len(list(client.list_runs())) == before


def test_a_refused_spec_is_one_sentence_about_the_key_as_it_was_written(client: Client) -> None:
    with pytest.raises(ApiError) as refused:
        client.create_run({"masking": {"rate": 7}})
    assert (refused.value.status, refused.value.exit_code) == (422, 2)
    assert "masking.rate" in refused.value.message
    assert refused.value.errors[0].pointer.startswith("/spec/masking/rate")
    assert "\n" not in refused.value.message


def test_a_list_goes_over_all_pages_as_far_as_it_is_read(
    client: Client, proxy: FaultyProxy
) -> None:
    tag = f"pages-{time.monotonic_ns()}"
    made = [client.create_run(SPEC, tags=[tag]).id for _ in range(5)]
    with Client(proxy.url) as through:
        listed = through.list_runs(tag=tag, limit=4)
        assert proxy.seen == []
        assert [run.id for run in listed] == made[::-1][:4]
        all_of_them = through._pages(Run, "/v1/runs", {"tag": tag}, size=2)
        assert next(all_of_them).id == made[-1]
        seen = len(proxy.seen)
        assert [run.id for run in all_of_them] == made[::-1][1:]
        assert len(proxy.seen) == seen + 2


@pytest.mark.parametrize("faults", [["503", "503"], ["429"], ["lost"], ["lost", "503", "lost"]])
def test_a_post_that_is_sent_again_makes_one_run(
    client: Client, proxy: FaultyProxy, faults: list[str]
) -> None:
    tag = f"once-{time.monotonic_ns()}"
    with Client(proxy.url) as through:
        through.health()
        proxy.seen.clear()
        proxy.faults = list(faults)
        run = through.create_run(SPEC, tags=[tag])
    assert [one.id for one in client.list_runs(tag=tag)] == [run.id]
    keys = {headers["idempotency-key"] for _, _, headers in proxy.seen}
    assert (len(proxy.seen), len(keys)) == (len(faults) + 1, 1)


def test_two_calls_have_two_keys(client: Client) -> None:
    assert client.create_run(SPEC).id != client.create_run(SPEC).id


def test_what_the_service_says_to_wait_is_waited(proxy: FaultyProxy) -> None:
    with Client(proxy.url) as through:
        proxy.faults = ["429"]
        start = time.monotonic()
        through.health()
        assert time.monotonic() - start >= 1


def test_a_delete_whose_answer_was_lost_is_done(client: Client, proxy: FaultyProxy) -> None:
    run = client.create_run(SPEC)
    client.cancel(run)
    with Client(proxy.url) as through:
        through.health()
        proxy.faults = ["lost"]
        through.delete_run(run)
        with pytest.raises(ApiError, match="no run"):
            through.delete_run(run)


def test_no_service_is_said_at_once_with_what_to_do() -> None:
    with Client("http://127.0.0.1:1") as nobody, pytest.raises(UnreachableError) as error:
        nobody.get_run("run_1")
    assert error.value.message == "no Entromask service answers at http://127.0.0.1:1"
    assert "entromask up" in str(error.value.hint)


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://", "http://[::1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UnreachableError, match="is no URL of a service"):
        Client(url)


def test_another_server_at_the_address_is_told_from_ours(proxy: FaultyProxy) -> None:
    with Client(proxy.url) as through:
        for call in (through.health, lambda: through.get_run("run_1")):
            proxy.faults = ["html"]
            with pytest.raises(UnreachableError, match="is no Entromask service"):
                call()


def test_a_key_is_sent_and_never_shown(proxy: FaultyProxy) -> None:
    with Client(proxy.url, key="secret") as through:
        through.health()
        assert proxy.seen[-1][2]["authorization"] == "Bearer secret"
        assert "secret" not in repr(through) + str(vars(through))


def test_local_paths_are_sent_in_full(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("Some text.\n")
    (tmp_path / "spec.yaml").write_text(
        "corpus: {source: local, path: text.txt}\n"
        "evaluation: {tasks: [rte], source: {local: [glue, /elsewhere]}}\n"
    )
    for name in ("glue/rte",):
        (tmp_path / name).mkdir(parents=True)
    from entromask.rest.specs import to_send

    sent = to_send("spec.yaml")
    assert sent["corpus"]["path"] == str(tmp_path / "text.txt")
    assert sent["evaluation"]["source"]["local"] == [str(tmp_path / "glue"), "/elsewhere"]
    assert "tokenizer" not in sent
    named = to_send({"teacher": {"run": "run_1"}, "model": {"init": {"path": "m"}}})
    assert named == {"teacher": {"run": "run_1"}, "model": {"init": {"path": str(tmp_path / "m")}}}


def test_events_are_read_over_pages_and_from_any_place(client: Client, api: Api) -> None:
    run = client.create_run(SPEC)
    api.tell(run, *({"seq": n, "type": "metrics", "step": n} for n in range(1, 251)))
    assert [event.seq for event in client.events(run)] == list(range(1, 251))
    assert [event.seq for event in client.events(run, after=248)] == [249, 250]
    api.tell(run, {"seq": 251, "type": "plateau", "step": 251})
    assert [event.seq for event in client.events(run, types=["plateau", "result"])] == [251]


def progress(seq: int, step: int) -> dict[str, Any]:
    return {"seq": seq, "type": "progress", "step": step, "total": 10, "stage": "pretraining"}


@pytest.mark.slow
def test_following_survives_a_restart_of_the_api_without_gap_or_duplicate(
    client: Client, api: Api
) -> None:
    run = client.create_run(SPEC)
    api.tell(run, {"seq": 1, "type": "stage", "stage": "pretraining"})
    seen: list[Event] = []

    def watch() -> None:
        for event in client.follow(run):
            seen.append(event)

    thread = threading.Thread(target=watch)
    thread.start()
    until(lambda: seen)
    api.stop()
    api.tell(run, {"seq": 2, "type": "metrics", "step": 5, "metrics": {"loss": 1.0}})
    api.start()
    until(lambda: len([event for event in seen if event.type != "progress"]) == 2)
    api.tell(run, {"seq": 3, "type": "metrics", "step": 6})
    api.work(run)
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert [event.seq for event in seen if event.type != "progress"] == [1, 2, 3]


def test_following_through_a_line_that_breaks_misses_nothing(
    client: Client, api: Api, proxy: FaultyProxy
) -> None:
    run = client.create_run(SPEC)
    api.tell(run, *({"seq": n, "type": "metrics", "step": n} for n in range(1, 31)))
    api.work(run)
    with Client(proxy.url) as through:
        proxy.faults = ["", "cut:700", "cut:50", "503", "", "cut:3000"]
        followed = list(through.follow(run))
    assert [event.seq for event in followed] == list(range(1, 31))


def test_where_streams_do_not_pass_it_asks_instead(
    client: Client, api: Api, proxy: FaultyProxy
) -> None:
    run = client.create_run(SPEC)
    api.tell(run, {"seq": 1, "type": "metrics", "step": 1})
    api.work(run)
    with Client(proxy.url) as through:
        proxy.faults = ["", "html"]
        assert [event.seq for event in through.follow(run)] == [1]
    assert "text/event-stream" not in proxy.seen[-1][2]["accept"]


def test_following_shows_progress_with_the_time_left(client: Client, api: Api) -> None:
    run = client.create_run(SPEC)
    with api.database.write() as session:
        held = claim(session, f"{run.id.replace('run_', 'job_', 1)}_0", "w", 60)
    assert held is not None
    api.tell(run, {"seq": 1, "type": "stage", "stage": "pretraining"})
    figures = {"eta_seconds": 7.0, "tokens_per_second": 100.0, "training_loss": 2.5}
    api.tell(run, progress(2, 4) | {"metrics": figures})
    event = next(event for event in client.follow(run) if event.type == "progress")
    assert (event.stage, event.step, event.total) == ("pretraining", 4, 10)
    assert event.metrics == figures


def test_waiting_ends_with_the_run_or_with_the_time(client: Client, api: Api) -> None:
    run = client.create_run(SPEC)
    with pytest.raises(WaitTimeoutError, match=f"{run.id} is still queued after 0.3 s"):
        client.wait(run, timeout=0.3)
    api.work(run)
    assert client.wait(run, timeout=30).status == "succeeded"


def test_logs_come_whole_whatever_their_length(client: Client, api: Api) -> None:
    run = client.create_run(SPEC)
    text = "".join(f"line {number} é\n" for number in range(120_000))
    (api.folder(run) / "log.txt").write_text(text)
    assert client.logs(run) == text
    assert client.logs(run, tail=1) == "line 119999 é\n"


@pytest.fixture
def stored(client: Client, api: Api) -> tuple[Run, bytes]:
    """A run with a large file and a small one."""
    run = client.create_run(SPEC)
    content = os.urandom(3_000_000)
    (api.folder(run) / "model").mkdir()
    (api.folder(run) / "model" / "model.safetensors").write_bytes(content)
    (api.folder(run) / "results.json").write_text("{}")
    return run, content


def test_a_download_goes_on_where_it_broke_off(
    proxy: FaultyProxy, stored: tuple[Run, bytes], tmp_path: Path
) -> None:
    run, content = stored
    with Client(proxy.url) as through:
        proxy.faults = ["", "cut:1000000", "cut:500000"]
        (file,) = through.download(run, "model/model.safetensors", tmp_path)
    assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(content).digest()
    ranges = [headers.get("range") for _, path, headers in proxy.seen if "model" in path]
    assert ranges[0] is None
    assert [text for text in ranges[1:] if text] == ["bytes=1000000-", "bytes=1500000-"]
    assert [path.name for path in file.parent.iterdir()] == ["model.safetensors"]


def test_a_second_download_fetches_nothing(
    proxy: FaultyProxy, stored: tuple[Run, bytes], tmp_path: Path
) -> None:
    run, _ = stored
    with Client(proxy.url) as through:
        files = through.download(run, folder=tmp_path / "out")
        assert {path.name for path in files} >= {"model.safetensors", "results.json"}
        proxy.seen.clear()
        assert through.download(run, folder=tmp_path / "out") == files
    assert [path for _, path, _ in proxy.seen if "/artifacts/" in path] == []


def test_a_file_of_the_users_is_never_overwritten_unasked(
    client: Client, stored: tuple[Run, bytes], tmp_path: Path
) -> None:
    run, _ = stored
    mine = tmp_path / "results.json"
    mine.write_text("mine")
    with pytest.raises(InputError, match=str(mine)):
        client.download(run, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert mine.read_text() == "mine"
    client.download(run, folder=tmp_path, overwrite=True)
    assert mine.read_text() == "{}"


def test_a_file_that_the_run_does_not_have_is_named(
    client: Client, stored: tuple[Run, bytes], tmp_path: Path
) -> None:
    with pytest.raises(EntromaskError, match="has no file 'nope'"):
        client.download(stored[0], "nope", tmp_path)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\\..\\x", "C:x"])
def test_a_name_of_the_server_never_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(EntromaskError, match="would not lie in"):
        place(tmp_path, name)


def test_a_link_in_the_folder_leads_nothing_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "model").symlink_to(tmp_path / "out")
    with pytest.raises(EntromaskError, match="would not lie in"):
        place(tmp_path / "in", "model/x")


def test_lines_of_a_stream_become_messages() -> None:
    lines = ["retry: 1", "", ": alive", "", "id: 3", "event: event", "data: {", "data: }", "", "x"]
    assert [(frame.kind, frame.data) for frame in frames(lines)] == [("event", "{\n}")]


Command = Callable[..., int]


@pytest.fixture
def entromask(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The console script in this process, on the API; returns its exit code."""
    monkeypatch.setenv("ENTROMASK_API_URL", api.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC))
    settings.cache_clear()

    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["entromask", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    yield call
    settings.cache_clear()


Out = pytest.CaptureFixture[str]


def test_submit_prints_the_id_alone(entromask: Command, client: Client, capsys: Out) -> None:
    assert entromask("submit", "spec.yaml", "--set", "seed=4", "--tag", "x", "--notes", "n") == 0
    out, err = capsys.readouterr()
    run = client.get_run(out.strip())
    assert (run.seed, run.tags, run.notes) == (4, ["x"], "n")
    assert f"entromask runs logs {run.id} --follow" in err


def test_submit_of_an_invalid_spec_exits_2(entromask: Command, capsys: Out) -> None:
    assert entromask("submit", "spec.yaml", "--set", "masking.rate=7") == 2
    assert "masking.rate" in capsys.readouterr().err


def test_submit_validates_without_queueing(entromask: Command, client: Client, capsys: Out) -> None:
    before = len(list(client.list_runs()))
    assert entromask("submit", "spec.yaml", "--validate") == 0
    assert "spec.yaml is valid" in capsys.readouterr().out
    assert entromask("submit", "spec.yaml", "--validate", "--json") == 0
    assert json.loads(capsys.readouterr().out)["estimate"]["steps"] == 3
    assert len(list(client.list_runs())) == before


@pytest.mark.parametrize(("end", "code"), [("succeed", 0), ("fail", 1), ("cancel", 130)])
def test_following_exits_as_the_run_ends(
    entromask: Command, client: Client, api: Api, capsys: Out, end: str, code: int
) -> None:
    run = client.create_run(SPEC)
    if end == "cancel":
        client.cancel(run)
    else:
        api.work(run, fails=end == "fail")
    assert entromask("runs", "logs", run.id, "--follow", "--json") == code
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["type"], last["id"]) == ("run", run.id)
    if end == "fail":
        assert entromask("runs", "logs", run.id, "--follow") == 1
        err = capsys.readouterr().err
        assert "failed: the corpus is empty\nhint: give text" in err


def test_a_run_is_named_by_the_beginning_of_its_id(
    entromask: Command, client: Client, capsys: Out
) -> None:
    run = client.create_run(SPEC)
    assert entromask("runs", "show", run.id[4:-2], "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == run.id
    assert entromask("runs", "show", "run_") == 2
    assert "several runs begin with 'run_'" in capsys.readouterr().err
    assert entromask("runs", "show", "nope") == 2
    assert capsys.readouterr().err.startswith("error: no run 'nope'")


def test_a_list_shows_what_is_asked_for(entromask: Command, client: Client, capsys: Out) -> None:
    tag = f"list-{time.monotonic_ns()}"
    one = client.create_run(SPEC | {"name": "evil\x1b[2J"}, tags=[tag])
    two = client.create_run(SPEC, tags=[tag])
    client.cancel(two)
    assert entromask("runs", "--tag", tag) == 0
    out = capsys.readouterr().out
    assert out.index(two.id) < out.index(one.id)
    assert "\x1b" not in out
    assert entromask("runs", "--tag", tag, "--status", "queued", "--json") == 0
    assert [run["id"] for run in json.loads(capsys.readouterr().out)] == [one.id]
    assert entromask("runs", "--status", "nope") == 2
    assert "allowed: queued, running" in capsys.readouterr().err


def test_what_fails_with_one_run_is_still_done_with_the_others(
    entromask: Command, client: Client, capsys: Out
) -> None:
    one, two = client.create_run(SPEC), client.create_run(SPEC)
    assert entromask("runs", "cancel", one.id, "nope", two.id) == 2
    assert client.get_run(two).status == "cancelled"
    # A run in the wrong state is no usage error: it may have been right a moment ago.
    assert entromask("runs", "cancel", one.id) == 1
    assert "is cancelled and cannot be cancelled" in capsys.readouterr().err
    assert entromask("runs", "resume", one.id, two.id) == 0
    assert capsys.readouterr().out.split() == [one.id, "queued", two.id, "queued"]


def test_a_clone_on_the_command_line_has_its_changes(
    entromask: Command, client: Client, capsys: Out
) -> None:
    run = client.create_run(SPEC)
    assert entromask("runs", "clone", run.id, "--set", "seed=1", "--set", "name=b") == 0
    made = client.get_run(capsys.readouterr().out.strip())
    assert (made.seed, made.name) == (1, "b")


def test_downloads_on_the_command_line(
    entromask: Command, stored: tuple[Run, bytes], capsys: Out, tmp_path: Path
) -> None:
    run, content = stored
    assert entromask("runs", "download", run.id, "--to", "out", "--path", "model") == 0
    assert (tmp_path / "out" / "model" / "model.safetensors").read_bytes() == content
    assert not (tmp_path / "out" / "results.json").exists()
    assert entromask("runs", "download", run.id, "--json") == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["folder"] == run.id
    assert (tmp_path / run.id / "results.json").is_file()


def test_ctrl_c_ends_the_watching_and_not_the_run(api: Api, client: Client) -> None:
    run = client.create_run(SPEC)
    api.tell(run, {"seq": 1, "type": "stage", "stage": "pretraining"})
    program = "from entromask.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "runs", "logs", run.id, "--follow"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ENTROMASK_API_URL": api.url},
    ) as watching:
        assert watching.stderr is not None
        for line in watching.stderr:
            if "pretraining" in line:
                break
        watching.send_signal(2)
        rest = watching.stderr.read()
        assert watching.wait(timeout=30) == 130
    assert f"entromask runs logs {run.id} --follow" in rest
    assert f"entromask runs cancel {run.id}" in rest
    assert client.get_run(run).status == "queued"
