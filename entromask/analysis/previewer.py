"""Previews by a model's name: finds the model, loads it once, and keeps the last few."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from entromask.analysis.previewed_run import brought_scores, progress_of
from entromask.errors import InputError
from entromask.modeling.sources import model_source, said_when_gone
from entromask.settings import settings
from entromask.spec import ModelReference
from entromask.spec_errors import describe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from entromask.analysis.preview_scores import RowScore
    from entromask.modeling.masked_lm import SparseMaskedLM


def parse_reference(text: str) -> ModelReference:
    """The model that a word names: a run's id or folder, a model folder, or hub:NAME.

    RUN@STEP is the checkpoint of that step.

    Raises:
        InputError: there is none of them.
    """
    if text.startswith("hub:"):
        name = text.removeprefix("hub:")
        if name:
            return ModelReference(hub=name)
    elif text:
        if _is_run(text):
            return ModelReference(run=text)
        if (Path(text).expanduser() / "config.json").is_file():
            return ModelReference(path=text)
        run, at, step = text.rpartition("@")
        if at and _is_run(run):
            if not (step.isascii() and step.isdigit()):
                raise InputError(
                    f"model: '{step}' is not the step of a checkpoint", f"e.g. {run}@500"
                )
            return ModelReference(run=run, checkpoint=int(step))
    raise InputError(
        f"model: there is no run and no model folder '{text}'",
        "give a run's id or folder, RUN@STEP, a folder saved by transformers, or hub:NAME",
    )


def _is_run(name: str) -> bool:
    places = (Path(name).expanduser(), settings().runs / name)
    return any((place / "spec.yaml").is_file() for place in places)


@dataclass(frozen=True)
class _Loaded:
    state: tuple[tuple[str, int], ...]
    model: SparseMaskedLM
    tokenizer: PreTrainedTokenizerBase
    scores: dict[str, RowScore]
    progress: float


class Previewer:
    """Keeps the last few models in memory, by reference; reloads one whose files have changed.

    Args:
        most: models that are kept.
        device: that they are kept on.
    """

    def __init__(self, most: int = 2, device: str = "cpu") -> None:
        self.most, self.device = most, device
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def preview(
        self,
        reference: str | dict[str, Any] | ModelReference,
        text: str,
        *,
        progress: float | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """`entromask.analysis.preview.preview` of a model that is named.

        Args:
            reference: a ModelReference, the same as plain data, or a word as `parse_reference`
                takes it.
            progress: share of a run that is done, for rates with a schedule. None: that of the
                checkpoint, where one is named; else 0.
            arguments: presets, rate, seed, masked, top.

        Raises:
            InputError: the model or an argument cannot be used.
            DependencyMissingError: the model is on the Hub, and cannot be had now.
        """
        if isinstance(reference, str):
            reference = parse_reference(reference)
        elif isinstance(reference, dict):
            try:
                reference = ModelReference.model_validate(reference)
            except ValidationError as error:
                raise InputError(f"model: {describe(error)}", "e.g. {run: ID}") from None
        from entromask.analysis.preview import preview

        # One at a time: a model's mode is switched while it is looked at.
        with self._lock:
            one = self._open(reference)
            done = one.progress if progress is None else progress
            return preview(
                one.model, one.tokenizer, text, scores=one.scores, progress=done, **arguments
            )

    def _open(self, reference: ModelReference) -> _Loaded:
        key = reference.model_dump_json()
        with said_when_gone(reference):
            source = model_source(reference)
            state = _file_times(source) if reference.hub is None else ()
            known = self._loaded.pop(key, None)
            if known is None or known.state != state:
                known = None  # its memory goes before the next one's comes
                while len(self._loaded) >= self.most:
                    self._loaded.popitem(last=False)
                known = self._load(reference, source, state)
        self._loaded[key] = known
        return known

    def _load(
        self, reference: ModelReference, source: str, state: tuple[tuple[str, int], ...]
    ) -> _Loaded:
        from transformers.utils import logging as transformers_logging

        from entromask.modeling.references import load_masked_lm
        from entromask.text.tokenizer import load_tokenizer

        transformers_logging.disable_progress_bar()
        model = load_masked_lm(reference).to(self.device)
        tokenizer = load_tokenizer(source, reference.revision)
        scores, progress = brought_scores(reference, tokenizer), progress_of(reference)
        return _Loaded(state, model, tokenizer, scores, progress)


def _file_times(folder: str) -> tuple[tuple[str, int], ...]:
    files = sorted(Path(folder).iterdir())
    return tuple((file.name, file.stat().st_mtime_ns) for file in files)
