"""What is typed on the Submit page: one spec as text and as data, in a browser session.

The text is the truth. A change in the form changes the text; a text that cannot be read leaves the
data, and so the form, as they were.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from entromask.resources import DEFAULT_PRIORITY, Run
from frontend.parts.submit.spec_short import START
from frontend.parts.submit.spec_text import (
    Document,
    Path,
    YamlError,
    changed,
    dump,
    get,
    read,
    same,
    with_value,
)

_KEY = "submit_draft"
# A text that was typed while the form changed is at most so many changes behind.
_REMEMBERED = 100
# A spec has a few hundred lines at most; more is a file of another kind.
_LONGEST = 100_000
MOST_SEEDS = 50
LARGEST_SEED = 2**32 - 1


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass
class Draft:
    """A spec in the making, and what goes with it.

    Attributes:
        document: the last text that could be read.
        text: the text as it is.
        fault: why the text cannot be read.
        revision: counts the changes of the text that did not come from its editor.
        seeds: the pretraining seeds as typed; the first one is the spec's own.
        origin: what it began with, for example ("clone", "run_…").
        touched: whether anything was changed since.
        made: the runs of the last submission by its key.
    """

    text: str = field(default_factory=lambda: dump(START))
    seeds: str = "0"
    notes: str = ""
    priority: int = DEFAULT_PRIORITY
    origin: tuple[str, str] | None = None
    id: str = field(default_factory=_new_id)
    nonce: str = field(default_factory=_new_id)
    revision: int = 0
    touched: bool = False
    comments_lost: bool = False
    fault: YamlError | None = None
    made: dict[str, Run] = field(default_factory=dict)
    _log: list[tuple[int, Path, Any]] = field(default_factory=list)
    _waiting: list[tuple[Path, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.document: Document = read(self.text)
        # What the form shows: the document, and what waits until the text can be read again.
        self.data: dict[str, Any] = self.document.data

    def get(self, *path: str | int) -> Any:
        return get(self.data, path)

    def set(self, path: Path, value: Any) -> None:
        """A change by the form; None removes the key."""
        if same(get(self.data, path), value):
            return
        self.touched = True
        if self.fault is None:
            self._change(path, value)
            self._log = [*self._log, (self.revision, path, value)][-_REMEMBERED:]
        else:
            self._waiting.append((path, value))
            self.data = with_value(self.data, path, value)

    def typed(self, text: str, draft: str, revision: int) -> None:
        """A change by the editor of the text.

        Args:
            draft: the id of the draft that the editor showed.
            revision: of the text that was edited: what the form changed since then is kept.
        """
        if draft != self.id:
            return
        self._waiting += [(path, value) for at, path, value in self._log if at > revision]
        if text != self.text:
            self.touched = True
            self.comments_lost = False
        self.text = text
        before = self.get("seed")
        try:
            if len(text) > _LONGEST:
                raise YamlError(f"the text is longer than {_LONGEST:,} characters")
            self.document = read(text)
        except YamlError as fault:
            self.fault = fault
            return
        self.fault, self.data = None, self.document.data
        waiting, self._waiting = self._waiting, []
        for path, value in waiting:
            self._change(path, value)
        if self.get("seed") != before:
            self.seeds = str(self.get("seed") or 0)

    def type_seeds(self, text: str) -> None:
        """A change of the seeds by the form."""
        self.seeds = text
        self.touched = True
        numbers = parse_seeds(text)
        if isinstance(numbers, list) and numbers[0] != (self.get("seed") or 0):
            self.set(("seed",), numbers[0])

    def _change(self, path: Path, value: Any) -> None:
        before = self.document
        self.text = changed(before, path, value)
        self.document = read(self.text)
        self.data = self.document.data
        self.revision += 1
        if _comments(self.text) < _comments(before.text) and value is not None:
            self.comments_lost = True

    def specs(self) -> list[dict[str, Any]]:
        """One spec for each seed; that of the first where the seeds cannot be read."""
        numbers = parse_seeds(self.seeds)
        if isinstance(numbers, str) or numbers == [self.get("seed") or 0]:
            return [self.data]
        return [self.data | {"seed": number} for number in numbers]

    def key(self, spec: dict[str, Any]) -> str:
        """The same for two clicks on the same form, another one after any change of it."""
        parts = [self.nonce, spec, self.notes, self.priority]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def submitted(self) -> list[Run]:
        """The runs that this very form has made."""
        return [self.made[key] for spec in self.specs() if (key := self.key(spec)) in self.made]


def parse_seeds(text: str) -> list[int] | str:
    """Distinct seeds from `0, 1, 2` or `0-4`, or a sentence on what is wrong."""
    numbers: list[int] = []
    for word in re.split(r"[,;\s]+", text.strip()):
        found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", word)
        if found is None:
            return f"seeds are whole numbers, such as 0, 1, 2 or 0-4, not '{word}'"
        first, last = int(found[1]), int(found[2] or found[1])
        if max(first, last) > LARGEST_SEED:
            return f"a seed is at most {LARGEST_SEED}"
        if last - first >= MOST_SEEDS:
            return f"at most {MOST_SEEDS} runs at once"
        numbers += range(first, last + 1)
    numbers = list(dict.fromkeys(numbers))
    if not numbers:
        return f"'{text.strip()}' names no seed"
    return numbers if len(numbers) <= MOST_SEEDS else f"at most {MOST_SEEDS} runs at once"


def _comments(text: str) -> int:
    return len(re.findall(r"(?:^|\s)#", text))


def draft() -> Draft:
    """The draft of this browser session."""
    found: Draft | None = st.session_state.get(_KEY)
    return found if found is not None else put(Draft())


def put(new: Draft) -> Draft:
    """Makes a draft the one of this browser session; the one before is put aside."""
    before: Draft | None = st.session_state.get(_KEY)
    if before is not None and before.touched:
        st.session_state[f"{_KEY}_aside"] = before
    st.session_state[_KEY] = new
    return new


def aside() -> Draft | None:
    """The draft that was put aside, if it had been changed."""
    found: Draft | None = st.session_state.get(f"{_KEY}_aside")
    return found


def bring_back() -> None:
    """Takes the draft that was put aside; the one that it replaces is put aside in turn."""
    found = st.session_state.pop(f"{_KEY}_aside", None)
    if found is not None:
        put(found)
