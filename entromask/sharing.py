"""Models to and from the Hugging Face Hub: what a run publishes, and what comes from there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from entromask.analysis.model_card import Interval, model_card
from entromask.analysis.runs import Run
from entromask.errors import DependencyMissingError, EntromaskError, InputError
from entromask.hub import hub_errors, reachable
from entromask.run_folder import write_json
from entromask.spec import ModelReference, RunSpec

# Of a model folder: weights that cannot hold code, configuration, vocabularies.
_OF_A_MODEL = ("*.safetensors", "*.json", "*.txt", "*.model")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_OF_A_RUN = ("README.md", "spec.yaml", "results.json")
# What the Hub itself puts into a new repository.
_OF_THE_HUB = (".gitattributes", "README.md")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
# A folder or file of some machine, at least one folder deep.
_PLACE = re.compile(r"(~|/|[A-Za-z]:[\\/])[^/\\]*[/\\].*")
_LOGIN = "run `hf auth login`, or set HF_TOKEN to a token that may write"
_SHORTENED = (
    "Paths of the machine that it was made on are shortened to their last part here; the spec's "
    "hash is that of the original."
)


@dataclass(frozen=True)
class Published:
    """A folder as it goes to the Hub; `shortened` if paths of this machine were taken out."""

    folder: Path
    files: list[str]
    shortened: bool


def check_repository(name: str) -> None:
    """Makes sure that a name can be a repository's.

    Raises:
        InputError: it is not NAMESPACE/NAME.
    """
    if not _REPOSITORY.fullmatch(name):
        raise InputError(
            f"'{name}' is no repository of the Hub",
            "give NAMESPACE/NAME: your user name or your organisation, a slash, the model's name",
        )


def publish(run: Run, folder: Path, intervals: Mapping[str, Interval] | None = None) -> Published:
    """Writes what a push uploads: the model, its card, spec.yaml and results.json.

    Args:
        run: a finished one, with its folder.
        folder: new or empty.
        intervals: for the card, by task.

    Raises:
        InputError: the run has no model, or the folder holds something.
    """
    assert run.folder is not None
    model = run.folder / "model"
    if not (model / "config.json").is_file() or not _matching(model, _WEIGHTS):
        raise InputError(f"{model} holds no model", "resume the run, or run it again")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty", "choose another --output")
    folder.mkdir(parents=True, exist_ok=True)
    data = run.spec.data()
    public = RunSpec.parse(_public(data))
    for file in _matching(model, _OF_A_MODEL):
        shutil.copyfile(file, folder / file.name)
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            written = json.loads((folder / name).read_text(encoding="utf-8"))
            write_json(folder / name, _public(written))
    places = {place: PurePath(place).name for place in _places(data)}
    places |= {str(run.folder): run.folder.name, str(Path.home()): "~"}
    write_json(folder / "results.json", _public(dict(run.results), places))
    (folder / "spec.yaml").write_text(public.to_yaml(), encoding="utf-8")
    shortened = public.data() != data
    notes = (_SHORTENED,) if shortened else ()
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    card = model_card(public, results, run.environment, intervals, notes)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return Published(folder, sorted(file.name for file in folder.iterdir()), shortened)


def push(published: Published, name: str, private: bool, revision: str | None) -> str:
    """Uploads a published folder in one commit; returns the commit's address.

    A repository that holds an earlier push is brought up to date; one with other files is refused.

    Args:
        name: NAMESPACE/NAME; made if it is not there.
        private: of a repository that is made.
        revision: a branch; made if it is not there. Default: main.

    Raises:
        InputError: no token, the name is taken by something else, or the Hub refuses.
        DependencyMissingError: the Hub is switched off or out of reach.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    _check_can_push(name)
    api = HfApi()
    with _push_errors(name):
        api.create_repo(name, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        present = api.list_repo_files(name, revision=revision)
        _check_ours(name, present)
        stale = [
            file
            for file in present
            if any(PurePath(file).match(one) for one in _WEIGHTS) and file not in published.files
        ]
        commit = api.create_commit(
            name,
            [
                *(CommitOperationAdd(file, published.folder / file) for file in published.files),
                *(CommitOperationDelete(file) for file in stale),
            ],
            commit_message="A model from Entromask",
            revision=revision,
        )
    return str(commit.commit_url)


def download_from_hub(name: str, revision: str | None, folder: Path) -> Path:
    """Brings a model here, whole or not at all; what a broken try has left is continued.

    Raises:
        InputError: it cannot be loaded without pickle or code of its own, or the folder is taken.
        DependencyMissingError: it is not on the Hub, or the Hub cannot be reached.
        DiskFullError: there is no room for it.
    """
    from huggingface_hub import HfApi, snapshot_download

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty", "choose another --output")
    part = folder.with_name(f".{folder.name}.{name.replace('/', '--')}.{revision or 'main'}.part")
    with hub_errors(f"the model '{name}'"):
        files = HfApi().list_repo_files(name, revision=revision)
        if not any(PurePath(file).match("*.safetensors") for file in files):
            raise InputError(
                f"the model '{name}' has no safetensors weights, and others can run code when "
                "they are loaded",
                "ask its owner for safetensors, or convert it where you trust it",
            )
        snapshot_download(
            name,
            revision=revision,
            local_dir=part,
            allow_patterns=[*_OF_A_MODEL, *_OF_A_RUN],
        )
    shutil.rmtree(part / ".cache", ignore_errors=True)
    try:
        check_loads(part)
    except InputError as error:
        # The folder's name is nothing that the user knows.
        reason = error.message.replace(f"{part}/", "").replace(str(part), "the model's folder")
        raise InputError(f"the model '{name}' cannot be used: {reason}", error.hint) from None
    if folder.exists():
        folder.rmdir()
    part.rename(folder)
    return folder


def check_loads(model: Path) -> int:
    """Loads a model folder as a run would: safetensors, configuration and tokenizer, no code.

    Returns:
        The number of its parameters.

    Raises:
        InputError: it cannot be a teacher or a start.
    """
    from transformers.utils import logging as transformers_logging

    from entromask.modeling.references import load_masked_lm
    from entromask.text.tokenizer import load_tokenizer

    transformers_logging.disable_progress_bar()
    loaded = load_masked_lm(ModelReference(path=str(model)))
    load_tokenizer(str(model))
    return sum(parameter.numel() for parameter in loaded.parameters())


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [file for one in patterns for file in sorted(folder.glob(one)) if file.is_file()]


def _places(data: Any) -> Iterator[str]:
    """Every path of this machine among the values of plain data."""
    if isinstance(data, dict):
        for value in data.values():
            yield from _places(value)
    elif isinstance(data, list):
        for value in data:
            yield from _places(value)
    elif isinstance(data, str) and _PLACE.fullmatch(data):
        yield data


def _public(data: Any, places: Mapping[str, str] | None = None) -> Any:
    """Plain data with every path shortened to its last part.

    Args:
        places: for data whose texts are sentences: what stands there for each path.
    """
    if isinstance(data, dict):
        return {key: _public(value, places) for key, value in data.items()}
    if isinstance(data, list):
        return [_public(value, places) for value in data]
    if not isinstance(data, str):
        return data
    if places is None:
        return re.split(r"[/\\]", data.rstrip("/\\"))[-1] if _PLACE.fullmatch(data) else data
    for place in sorted(places, key=len, reverse=True):
        data = data.replace(place, places[place])
    return data


def _check_can_push(name: str) -> None:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise DependencyMissingError(
            f"a push to '{name}' needs the Hugging Face Hub, which is switched off "
            "(ENTROMASK_HUB=offline or HF_HUB_OFFLINE=1)",
            "set ENTROMASK_HUB=online and unset HF_HUB_OFFLINE, or look at it with --dry-run",
        )
    if not reachable():
        raise _out_of_reach()
    if get_token() is None:
        raise InputError("there is no token for the Hugging Face Hub", _LOGIN)


def _out_of_reach() -> DependencyMissingError:
    from huggingface_hub import constants

    return DependencyMissingError(
        f"the Hugging Face Hub ({constants.ENDPOINT}) cannot be reached",
        "connect this machine to the network, or take the folder of --dry-run to one that is",
    )


def _check_ours(name: str, present: list[str]) -> None:
    if "spec.yaml" in present and "results.json" in present:
        return
    others = [file for file in present if file not in _OF_THE_HUB]
    if others:
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        raise InputError(
            f"the repository '{name}' holds files of something else: {shown}",
            "choose another name, or another branch by --revision",
        )


@contextmanager
def _push_errors(name: str) -> Iterator[None]:
    """Turns the client library's errors into one sentence.

    Raises:
        InputError, DependencyMissingError, EntromaskError: as `push` does.
    """
    import httpx
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise InputError(f"'{name}' is no name for a repository: {error}") from None
    except (errors.HfHubHTTPError, RuntimeError, OSError, httpx.HTTPError) as error:
        status = _status(error)
        if status == 401:
            raise InputError("the Hugging Face Hub does not accept the token", _LOGIN) from None
        if status == 403:
            raise InputError(
                f"the token may not write to '{name}'",
                "is it your name or your organisation's? a token has to be made for writing",
            ) from None
        if status is None and any(isinstance(one, httpx.TransportError) for one in _causes(error)):
            raise _out_of_reach() from None
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise EntromaskError(
            f"the push to '{name}' failed: {reason}", "try again; a push is one commit or none"
        ) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status that the Hub answered with, if it did."""
    for one in _causes(error):
        response = getattr(one, "response", None)
        if response is not None:
            return int(response.status_code)
    return None
