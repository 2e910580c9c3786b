"""The Hub is off unless it is asked for, and its failures are one sentence, at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from entromask import hub
from entromask.errors import DependencyMissingError, DiskFullError, InputError
from entromask.hub import hub_errors, names_hub, set_offline
from entromask.settings import settings
from entromask.spec import RunSpec


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that nobody has switched off, as far as the libraries know."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_probes", {})
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "part",
    [
        {"corpus": {"source": "hub", "name": "a/b"}},
        {"tokenizer": {"source": "hub", "name": "a/b"}},
        {"teacher": {"hub": "a/b"}},
        {"model": {"init": {"hub": "a/b"}}},
        {"evaluation": {"tasks": ["rte"], "source": {"hub": "nyu-mll/glue"}}},
        {"evaluation": {"tasks": ["rte"]}},
    ],
)
def test_a_spec_that_names_hub_data_is_seen(part: dict[str, Any]) -> None:
    assert names_hub(RunSpec.parse(part))


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"corpus": {"source": "local", "path": "a/b"}},
        {"teacher": {"path": "a/b"}},
        {"evaluation": {"tasks": ["demo-order"]}},
        {"evaluation": {"tasks": ["rte"], "source": {"local": "glue"}}},
    ],
)
def test_a_spec_that_names_none_is_seen(part: dict[str, Any]) -> None:
    assert not names_hub(RunSpec.parse(part))


def test_a_glue_folder_in_the_settings_is_not_the_hub(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTROMASK_GLUE_DIR", "somewhere")
    settings.cache_clear()
    assert not names_hub(RunSpec.parse({"evaluation": {"tasks": ["rte"]}}))


@pytest.mark.parametrize(
    ("mode", "teacher", "expected"),
    [
        ("auto", None, "1"),
        ("auto", {"hub": "a/b"}, None),
        ("offline", {"hub": "a/b"}, "1"),
        ("online", None, None),
    ],
)
def test_the_settings_and_the_spec_decide(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    online: None,
    mode: str,
    teacher: dict[str, str] | None,
    expected: str | None,
) -> None:
    from huggingface_hub import is_offline_mode

    monkeypatch.setenv("ENTROMASK_HUB", mode)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        # Set first, so that the value from before the test comes back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    settings.cache_clear()
    set_offline(RunSpec.parse({"teacher": teacher}))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        assert os.environ.get(name) == expected
    assert is_offline_mode() == (expected == "1")


def test_the_module_itself_imports_nothing_heavy() -> None:
    program = "import sys, entromask.hub; print({'huggingface_hub', 'torch'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_switched_off_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_hub_download

    with (
        pytest.raises(DependencyMissingError, match=r"'a/b' .* is switched off") as caught,
        hub_errors("the model 'a/b'"),
    ):
        hf_hub_download("a/b", "config.json")
    assert caught.value.hint


def test_a_host_that_refuses_is_unreachable_at_once_and_the_switch_comes_back(
    online: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, hf_hub_download, is_offline_mode

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with (
        pytest.raises(DependencyMissingError, match=r"'a/b' .* cannot be reached"),
        hub_errors("the model 'a/b'"),
    ):
        hf_hub_download("a/b", "config.json")
    assert not is_offline_mode()


def answering(status: str, headers: str) -> tuple[socket.socket, int]:
    """A host that gives every request the same answer."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65536):
                    answer = f"HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n"
                    connection.sendall(answer.encode())

    threading.Thread(target=serve, daemon=True).start()
    return server, server.getsockname()[1]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        ("404 Not Found", "RepoNotFound", "is not on the Hub, or is private"),
        ("403 Forbidden", "GatedRepo", "is gated on the Hub"),
        ("404 Not Found", "RevisionNotFound", "has no such revision"),
    ],
)
def test_what_the_hub_answers_is_said_in_words(
    online: None, monkeypatch: pytest.MonkeyPatch, status: str, code: str, said: str
) -> None:
    from huggingface_hub import HfApi, constants

    server, port = answering(status, f"X-Error-Code: {code}\r\n")
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with server:
        with (
            pytest.raises(DependencyMissingError, match=f"the data set 'a/b' {said}") as caught,
            hub_errors("the data set 'a/b'"),
        ):
            HfApi(endpoint=f"http://127.0.0.1:{port}").dataset_info("a/b")
        server.shutdown(socket.SHUT_RDWR)
    assert caught.value.hint


def test_a_name_that_cannot_be_is_said() -> None:
    from huggingface_hub import hf_hub_download

    with (
        pytest.raises(DependencyMissingError, match="is not a name"),
        hub_errors("the model 'a b'"),
    ):
        hf_hub_download("a b", "config.json")


def test_a_full_disk_is_not_taken_for_the_network() -> None:
    with (
        pytest.raises(DiskFullError, match="to download the model"),
        hub_errors("the model 'a/b'"),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(InputError, match="of our own"), hub_errors("the model"):
        raise InputError("of our own")
    with pytest.raises(KeyError), hub_errors("the model"):
        {}["a mistake in the code"]
