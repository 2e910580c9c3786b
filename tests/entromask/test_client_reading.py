"""The client's calls that a page makes: one request each, comparisons, keys, single files."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pytest

from backend.store.keys import create_key, revoke_key
from entromask.client import ApiError, Client, UnreachableError
from entromask.errors import InputError
from entromask.resources import Run
from tests.backend.finished import finished
from tests.entromask.real_api import Api
from tests.faulty_proxy import FaultyProxy

SPEC: dict[str, Any] = {"name": "small", "pretraining": {"budget": {"steps": 3}}}


def test_a_page_of_runs_is_one_request(client: Client, proxy: FaultyProxy) -> None:
    tag = f"page-{time.monotonic_ns()}"
    made = [client.create_run(SPEC | {"seed": seed}, tags=[tag]).id for seed in range(5)]
    with Client(proxy.url) as through:
        first = through.runs_page(tag=tag, limit=3)
        assert (first.has_more, [run.id for run in first.data]) == (True, made[:1:-1])
        second = through.runs_page(tag=tag, limit=3, after=first.next)
        assert (second.has_more, [run.id for run in second.data]) == (False, made[1::-1])
        assert len(proxy.seen) == 2
        found = through.runs_page(tag=tag, status="queued", strategy="random", q="small")
        assert len(found.data) == 5
        assert through.runs_page(tag=tag, experiment="none").data == []
        (one,) = through.runs_page(group=found.data[0].group_hash, tag=tag, limit=1).data
        assert one.group_hash == found.data[0].group_hash
        assert through.runs_page(tag=tag, status="running").data == []


@pytest.fixture
def pair(api: Api) -> list[str]:
    """Two runs with results, of two groups."""
    rate = {"masking": {"preset": "random", "rate": 0.3}, "seed": time.monotonic_ns() % 2**32}
    return [
        finished(api.database, "one", {"rte": (0.5, 0.6, 0.7)}, spec={"seed": rate["seed"]})[0],
        finished(api.database, "two", {"rte": (0.7, 0.7, 0.7)}, spec=rate)[0],
    ]


def test_runs_are_compared_by_their_ids_or_as_runs(client: Client, pair: list[str]) -> None:
    one, two = (client.get_run(run) for run in pair)
    found = client.compare([one, two.id], baseline=one)
    assert [column.label for column in found.columns] == ["one", "two"]
    (rte,) = [row for row in found.rows if row.key == "rte"]
    assert (rte.best, rte.shown[1], rte.differences[1]) == (1, "70.0 ± 0.0", "+10.0 ± 10.0")
    assert [one.key for one in found.differences] == ["masking.rate"]
    groups = client.compare(groups=[two.group_hash], group=False)
    assert pair[1] in [column.runs[0].id for column in groups.columns]


@pytest.mark.parametrize(
    ("style", "holds"),
    [("md", "| **Scores (x 100)** |"), ("csv", "run,folder,"), ("latex", r"\toprule")],
)
def test_a_comparison_comes_as_text(
    client: Client, pair: list[str], style: Literal["md", "csv", "latex"], holds: str
) -> None:
    text = client.compare(runs=pair, format=style)
    assert holds in text
    if style == "md":
        assert "60.0 ± 10.0" in text


def test_what_cannot_be_compared_is_said_with_its_place(client: Client, pair: list[str]) -> None:
    queued = client.create_run(SPEC)
    with pytest.raises(ApiError, match=f"the run {queued.id} is queued") as refused:
        client.compare([pair[0], queued])
    assert (refused.value.status, refused.value.errors[0].pointer) == (409, "/runs/1")
    with pytest.raises(ApiError, match="exactly one of runs and groups"):
        client.compare()


def test_the_keys_are_listed_without_their_secrets(client: Client, api: Api) -> None:
    with api.database.write() as session:
        row, secret = create_key(session, "ana", "read")
        revoke_key(session, row.id)
    listed = client.keys()
    (key,) = [key for key in listed if key.id == row.id]
    assert (key.name, key.role, key.prefix, key.used_at) == ("ana", "read", secret[:9], None)
    assert key.revoked_at is not None


def test_the_version_is_the_services(client: Client) -> None:
    assert client.version() == version("entromask")


NAME = 'model/a "b" é?#%20.txt'


@pytest.fixture
def run(client: Client, api: Api) -> Run:
    """A run with a file of 100,000 bytes."""
    made = client.create_run(SPEC)
    (api.folder(made) / "model").mkdir()
    (api.folder(made) / NAME).write_bytes(bytes(range(250)) * 400)
    return made


def test_the_content_of_a_file_is_read(client: Client, run: Run) -> None:
    assert client.read_artifact(run, NAME) == bytes(range(250)) * 400
    assert client.read_artifact(run.id, NAME, most=100_000) == bytes(range(250)) * 400
    with pytest.raises(ApiError, match="has no file 'none'"):
        client.read_artifact(run, "none")
    # A name that leads elsewhere on the server is a name like others.
    for name in ("../results", "./spec.yaml/..", "model/../../events"):
        with pytest.raises(ApiError, match="has no file"):
            client.read_artifact(run, name)


def test_a_file_that_is_too_large_is_named_with_its_size_and_the_way_to_get_it(
    proxy: FaultyProxy, run: Run
) -> None:
    with Client(proxy.url) as through:
        # It is not read as far as the break.
        proxy.faults = ["cut:10"]
        with pytest.raises(InputError) as refused:
            through.read_artifact(run, NAME, most=99_999)
        assert len(proxy.seen) == 1
        proxy.faults = ["unsized"]
        with pytest.raises(InputError, match="has 100,000 bytes"):
            through.read_artifact(run, NAME, most=99_999)
    assert refused.value.message.endswith("has 100,000 bytes, more than 99,999")
    assert str(refused.value.hint).endswith(f"entromask runs download {run.id} --path '{NAME}'")


def test_a_file_whose_connection_broke_is_read_anew(proxy: FaultyProxy, run: Run) -> None:
    with Client(proxy.url) as through:
        proxy.faults = ["cut:5000", "503"]
        assert through.read_artifact(run, NAME) == bytes(range(250)) * 400
    assert len(proxy.seen) == 3


@pytest.mark.parametrize("fault", ["503", "429", "lost"])
def test_without_retries_a_call_fails_at_once_and_the_next_is_another(
    client: Client, proxy: FaultyProxy, run: Run, fault: str, tmp_path: Path
) -> None:
    with Client(proxy.url, retry=False) as through:
        through.version()
        proxy.seen.clear()
        calls = [
            lambda: through.get_run(run),
            lambda: through.runs_page(limit=1),
            lambda: through.create_run(SPEC),
            lambda: through.read_artifact(run, NAME),
        ]
        for number, call in enumerate(calls, 1):
            proxy.faults = [fault]
            with pytest.raises((ApiError, UnreachableError)):
                call()
            assert len(proxy.seen) == number
        assert through.get_run(run).id == run.id
        proxy.faults = ["", fault]
        with pytest.raises((ApiError, UnreachableError)):
            through.download(run, NAME, tmp_path)
        assert through.download(run, NAME, tmp_path)[0].stat().st_size == 100_000


def test_one_idempotency_key_makes_one_run(client: Client) -> None:
    key = f"form-{time.monotonic_ns()}"
    first = client.create_run(SPEC, notes="n", idempotency_key=key)
    assert client.create_run(SPEC, notes="n", idempotency_key=key).id == first.id
    assert client.create_run(SPEC, notes="n", idempotency_key=key + "x").id != first.id
    with pytest.raises(ApiError) as refused:
        client.create_run(SPEC, notes="other", idempotency_key=key)
    assert refused.value.code == "idempotency_key_reused"
