"""The ZIP that gluebenchmark.com takes: eleven TSV files, how they are written and checked."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A time stamp of now would make every ZIP of the same predictions another file.
_TIME = (1980, 1, 1, 0, 0, 0)
_HEADER = "index\tprediction"
_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_SIMILARITY = (0.0, 5.0)


@dataclass(frozen=True)
class SubmissionFile:
    """One file: the test split it is about, its official number of rows, and its labels.

    `labels` are the words for 0, 1, … in nyu-mll/glue; none: a number from 0 to 5. `majority` is
    what stands in every row where a task is filled in: a frequent class of the training rows.
    """

    name: str
    task: str
    split: str
    rows: int
    labels: tuple[str, ...]
    majority: float


FILES: tuple[SubmissionFile, ...] = (
    SubmissionFile("CoLA.tsv", "cola", "test", 1063, ("0", "1"), 1),
    SubmissionFile("SST-2.tsv", "sst2", "test", 1821, ("0", "1"), 1),
    SubmissionFile("MRPC.tsv", "mrpc", "test", 1725, ("0", "1"), 1),
    SubmissionFile("STS-B.tsv", "stsb", "test", 1379, (), 2.5),
    SubmissionFile("MNLI-m.tsv", "mnli", "test_matched", 9796, _NLI, 0),
    SubmissionFile("MNLI-mm.tsv", "mnli", "test_mismatched", 9847, _NLI, 0),
    SubmissionFile("QNLI.tsv", "qnli", "test", 5463, _ENTAILMENT, 0),
    SubmissionFile("QQP.tsv", "qqp", "test", 390_965, ("0", "1"), 0),
    SubmissionFile("RTE.tsv", "rte", "test", 3000, _ENTAILMENT, 0),
    SubmissionFile("WNLI.tsv", "wnli", "test", 146, ("0", "1"), 0),
    SubmissionFile("AX.tsv", "ax", "test", 1104, _NLI, 0),
)


def submission(answers: Mapping[str, Sequence[float]]) -> bytes:
    """The ZIP, the same bytes each time.

    Args:
        answers: by file name one class (of STS-B: one number, which is clipped to 0 to 5) a row,
            in the order of the test set; a file that is not there is filled with its majority.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in FILES:
            rows = answers.get(file.name, [file.majority] * file.rows)
            words = (_word(file, answer) for answer in rows)
            lines = [_HEADER, *(f"{index}\t{word}" for index, word in enumerate(words))]
            about = zipfile.ZipInfo(file.name, _TIME)
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, "\n".join(lines) + "\n")
    return content.getvalue()


def check_submission(path: Path | io.BytesIO) -> list[str]:
    """What is wrong with a ZIP for gluebenchmark.com, one sentence each; none: nothing.

    Checks the names of the files and of each its header, number of rows, index and labels.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [*_names(archive.namelist()), *_contents(archive)]
    except (zipfile.BadZipFile, OSError) as error:
        return [f"it is not a ZIP file that can be read: {error}"]


def _word(file: SubmissionFile, answer: float) -> str:
    if file.labels:
        return file.labels[int(answer)]
    low, high = _SIMILARITY
    # A model that diverged says nothing, and the site takes only numbers.
    number = answer if math.isfinite(answer) else file.majority
    return f"{min(max(number, low), high):.3f}"


def _names(names: Sequence[str]) -> Iterator[str]:
    wanted = [file.name for file in FILES]
    for name in wanted:
        if name not in names:
            yield f"{name} is missing"
        elif names.count(name) > 1:
            yield f"{name} is there {names.count(name)} times"
    for name in dict.fromkeys(names):
        if name not in wanted:
            yield f"{name} does not belong there; the names are {', '.join(wanted)}, in no folder"


def _contents(archive: zipfile.ZipFile) -> Iterator[str]:
    there = archive.namelist()
    for file in FILES:
        if file.name in there:
            try:
                text = archive.read(file.name).decode()
            except (UnicodeDecodeError, zipfile.BadZipFile) as error:
                yield f"{file.name} cannot be read: {error}"
                continue
            yield from (f"{file.name}: {fault}" for fault in _faults(file, text))


def _faults(file: SubmissionFile, text: str) -> Iterator[str]:
    """Of each kind of fault the first."""
    header, *lines = text.removesuffix("\n").split("\n")
    if header != _HEADER:
        yield f"the first line is {header!r}, not {_HEADER!r}"
    if len(lines) != file.rows:
        yield f"it has {len(lines):,} rows, not {file.rows:,}"
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows):
        if len(row) != 2:
            yield f"row {number} has {len(row)} fields, not 2"
            return
    for number, (index, _) in enumerate(rows):
        if index != str(number):
            yield f"row {number} has the index {index!r}; the rows are 0, 1, … in order"
            break
    for number, (_, word) in enumerate(rows):
        if not _allowed(file, word):
            allowed = ", ".join(file.labels) or "a number from 0 to 5"
            yield f"row {number} has the prediction {word!r}; allowed: {allowed}"
            break


def _allowed(file: SubmissionFile, word: str) -> bool:
    if file.labels:
        return word in file.labels
    try:
        return _SIMILARITY[0] <= float(word) <= _SIMILARITY[1]
    except ValueError:
        return False
