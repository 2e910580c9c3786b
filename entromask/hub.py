"""The Hugging Face Hub: switched off where a run does not need it, and its errors in one sentence.

`set_offline` has to run before huggingface_hub, transformers or datasets is first imported.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from entromask.errors import DependencyMissingError, DiskFullError, EntromaskError
from entromask.settings import settings
from entromask.spec import ModelReference, RunSpec

_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
# A reachable host answers in well under a second; the hub's own clients try for 23-46 s.
_PROBE_SECONDS = 2.5
_PROBE_AGE = 30.0
_probes: dict[str, tuple[float, bool]] = {}

_FETCH = (
    "connect this machine to the network, or fetch it elsewhere with `hf download` and name "
    "its local folder"
)
_NAME = "check its name; for a private one run `hf auth login` first"


def set_offline(spec: RunSpec) -> None:
    """Switches the Hub off for this process, unless the settings or the spec ask for it.

    Without a network, each look at the Hub would cost up to 46 s before it fails.
    """
    mode = settings().hub
    if mode == "online" or (mode == "auto" and names_hub(spec)):
        return
    for variable in _VARIABLES:
        os.environ[variable] = "1"
    _switch_off()


def names_hub(spec: RunSpec) -> bool:
    """Whether anything in the spec comes from the Hub."""
    evaluation = spec.evaluation
    references = [spec.model.init, spec.teacher]
    default_tasks = evaluation.source is None and not settings().glue_folders
    kinds = {evaluation.task(name).kind for name in evaluation.tasks}
    return (
        spec.corpus.source == "hub"
        or (spec.tokenizer is not None and spec.tokenizer.source == "hub")
        or any(isinstance(one, ModelReference) and one.hub is not None for one in references)
        or (evaluation.source is not None and evaluation.source.hub is not None)
        or (default_tasks and bool(kinds - {"demo", "user"}))
    )


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turns the Hub's failures into one error that names `what`, such as "the model 'x'".

    What is in the local cache can still be used without a network: after a short look whether the
    Hub answers, the block runs in offline mode if it does not, and so fails at once, never late.

    Raises:
        DependencyMissingError: the Hub is switched off or out of reach, or `what` is not there.
        DiskFullError: there is no room for the download.
    """
    switched_off = _is_offline()
    unreachable = not switched_off and not reachable()
    before = _switch_off() if unreachable else {}
    try:
        yield
    except EntromaskError:
        raise
    except Exception as error:
        clear = _translated(error, what, unreachable)
        if clear is None:
            raise
        raise clear from None
    finally:
        for (module, name), value in before.items():
            setattr(sys.modules[module], name, value)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _switch_off() -> dict[tuple[str, str], bool]:
    """The same for libraries that have already read their environment; returns what was set."""
    before = {}
    for module, name in (
        ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_DATASETS_OFFLINE"),
    ):
        if module in sys.modules:
            before[module, name] = bool(getattr(sys.modules[module], name))
            setattr(sys.modules[module], name, True)
    return before


def reachable() -> bool:
    """Whether the Hub's host, or the proxy on the way to it, takes a connection."""
    from huggingface_hub import constants

    endpoint = urlsplit(constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(endpoint.scheme)
    if proxy and not urllib.request.proxy_bypass(endpoint.hostname or ""):
        endpoint = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    when, answer = _probes.get(endpoint.netloc, (-_PROBE_AGE, False))
    if time.monotonic() - when > _PROBE_AGE:
        port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
        answer = _connects(endpoint.hostname or "", port)
        _probes[endpoint.netloc] = (time.monotonic(), answer)
    return answer


def _connects(host: str, port: int) -> bool:
    answers: list[bool] = []

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout=_PROBE_SECONDS):
                answers.append(True)
        except OSError:
            answers.append(False)

    # In a thread, because the look-up of a name does not heed a socket's timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answers == [True]


def _translated(error: BaseException, what: str, unreachable: bool) -> EntromaskError | None:
    """The clear error for one of the Hub's, or None for a failure of another kind."""
    import errno

    from huggingface_hub import constants, errors

    chain = list(_chain(error))
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in chain):
        return DiskFullError(f"no room on the disk to download {what}", "free some space")
    for kind, sentence, hint in (
        (
            errors.GatedRepoError,
            "is gated on the Hub",
            "accept its terms on its page, then `hf auth login`",
        ),
        (errors.RepositoryNotFoundError, "is not on the Hub, or is private", _NAME),
        (errors.RevisionNotFoundError, "has no such revision on the Hub", "check the revision"),
        (errors.HFValidationError, "is not a name that the Hub can have", _NAME),
    ):
        if any(isinstance(one, kind) for one in chain):
            return DependencyMissingError(f"{what} {sentence}", hint)
    if not any(isinstance(one, OSError) for one in chain):
        return None
    if unreachable:
        host = urlsplit(constants.ENDPOINT).netloc
        return DependencyMissingError(
            f"{what} is not on this machine, and the Hugging Face Hub ({host}) cannot be reached",
            _FETCH,
        )
    if constants.HF_HUB_OFFLINE:
        return DependencyMissingError(
            f"{what} is not on this machine, and the Hugging Face Hub is switched off "
            "(ENTROMASK_HUB=offline or HF_HUB_OFFLINE=1)",
            "set ENTROMASK_HUB=online and unset HF_HUB_OFFLINE, or name a local folder",
        )
    reason = " ".join(str(error).split())[:200].rstrip(".")
    return DependencyMissingError(f"{what} cannot be had from the Hub: {reason}", _NAME)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
