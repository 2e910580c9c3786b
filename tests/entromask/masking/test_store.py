import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from entromask.errors import DiskFullError, InputError
from entromask.masking.store import ScoreStore
from tests.entromask.masking.fill_store import HIGHEST, fill, open_store, scores_of

ROWS, LENGTH, COMMIT = 4000, 64, 20
ROOT = Path(__file__).parents[3]


def start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.entromask.masking.fill_store", str(folder)]
    numbers = [str(number) for number in (ROWS, LENGTH, COMMIT)]
    return subprocess.Popen([*command, *numbers], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def lines_of(process: "subprocess.Popen[str]") -> list[str]:
    output, _ = process.communicate()
    return output.split("\n")[:-1]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("scores.u8", "progress.json")}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    fill(folder, ROWS, LENGTH, COMMIT)
    return folder


def test_scores_come_back_within_half_a_level(straight: Path) -> None:
    store = open_store(straight, ROWS, LENGTH)
    assert store.complete
    row_ids = torch.tensor([3999, 0, 17, 17])
    scores = store.read(row_ids)
    assert scores.dtype == torch.float32
    assert (scores - scores_of(row_ids, LENGTH)).abs().max() <= HIGHEST / 510 + 1e-6
    assert (straight / "scores.u8").stat().st_size == ROWS * LENGTH


def test_lowest_and_highest_scores_are_exact_and_others_are_clamped(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path, {}, 1, 4, HIGHEST)
    with store.filling():
        store.append(torch.tensor([[0.0, HIGHEST, HIGHEST + 1e-3, -1e-6]]))
    assert store.read(torch.tensor([0]))[0].tolist() == [0.0, HIGHEST, HIGHEST, 0.0]


@pytest.mark.slow
def test_killed_and_resumed_is_byte_identical(straight: Path, tmp_path: Path) -> None:
    # Killed at arbitrary moments: as soon as some commit is reported, the process is in the
    # middle of the next one when the signal arrives.
    chance = random.Random(0)
    killed_at = []
    for _ in range(4):
        process = start(tmp_path)
        assert process.stdout is not None
        wanted, line = chance.randint(0, 45), ""
        for _ in range(wanted + 1):
            line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, line
        store = open_store(tmp_path, ROWS, LENGTH)
        assert store.filled % COMMIT == 0
        if "filled" in line:
            assert store.filled >= int(line.split()[1])
        row_ids = torch.arange(store.filled)
        error = store.read(row_ids) - scores_of(row_ids, LENGTH) if len(row_ids) else torch.zeros(1)
        assert error.abs().max() <= HIGHEST / 510 + 1e-6
        killed_at.append(store.filled)
    assert killed_at == sorted(killed_at)
    assert 0 < killed_at[-1] < ROWS
    fill(tmp_path, ROWS, LENGTH, COMMIT)
    assert contents(tmp_path) == contents(straight)


def test_what_was_written_after_the_last_commit_does_not_count(
    straight: Path, tmp_path: Path
) -> None:
    # As a kill between the rows and the progress file leaves it.
    store = open_store(tmp_path, ROWS, LENGTH)
    with store.filling():
        store.append(scores_of(torch.arange(COMMIT), LENGTH), commits=1.0)
    with (tmp_path / "scores.u8").open("r+b") as stream:
        stream.seek(COMMIT * LENGTH)
        stream.write(b"\xff" * 700)
    (tmp_path / "progress.building").write_text('{"filled": 40')
    assert open_store(tmp_path, ROWS, LENGTH).filled == COMMIT
    fill(tmp_path, ROWS, LENGTH, COMMIT)
    assert contents(tmp_path) == contents(straight)


@pytest.mark.slow
def test_two_processes_fill_it_once(straight: Path, tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    outputs = [lines_of(process) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all(lines[-1] == "complete" for lines in outputs)
    commits = sum(line.startswith("filled") for lines in outputs for line in lines)
    assert commits == ROWS // COMMIT
    assert contents(tmp_path) == contents(straight)


def damage_bytes(folder: Path) -> None:
    with (folder / "scores.u8").open("r+b") as stream:
        stream.seek(1000)
        byte = stream.read(1)
        stream.seek(1000)
        stream.write(bytes([byte[0] ^ 1]))


def truncate(folder: Path) -> None:
    os.truncate(folder / "scores.u8", 100)


def remove(folder: Path) -> None:
    (folder / "scores.u8").unlink()


def cut_progress(folder: Path) -> None:
    os.truncate(folder / "progress.json", 30)


def list_for_progress(folder: Path) -> None:
    (folder / "progress.json").write_text("[]")


def say_too_much(folder: Path) -> None:
    text = (folder / "progress.json").read_text()
    (folder / "progress.json").write_text(text.replace('"filled": 40', '"filled": 60'))


@pytest.mark.parametrize(
    "damage", [damage_bytes, truncate, remove, cut_progress, list_for_progress, say_too_much]
)
def test_damage_is_noticed_and_rebuilt(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = 100
    store = open_store(tmp_path, rows, LENGTH)
    with store.filling():
        store.append(scores_of(torch.arange(40), LENGTH))
    assert open_store(tmp_path, rows, LENGTH).filled == 40
    damage(tmp_path)
    assert open_store(tmp_path, rows, LENGTH).filled == 0
    fill(tmp_path, rows, LENGTH, COMMIT)
    row_ids = torch.arange(rows)
    error = open_store(tmp_path, rows, LENGTH).read(row_ids) - scores_of(row_ids, LENGTH)
    assert error.abs().max() <= HIGHEST / 510 + 1e-6


@pytest.mark.parametrize(
    ("identity", "length", "highest"),
    [
        ({"teacher": "other", "corpus": "c"}, LENGTH, HIGHEST),
        ({"teacher": "t", "corpus": "c"}, LENGTH // 2, HIGHEST),
        ({"teacher": "t", "corpus": "c"}, LENGTH, 8.0),
    ],
)
def test_a_store_of_something_else_is_not_taken(
    identity: dict[str, str], length: int, highest: float, tmp_path: Path
) -> None:
    fill(tmp_path, 40, LENGTH, COMMIT)
    assert ScoreStore(tmp_path, identity, 40, length, highest).filled == 0


def test_each_identity_has_its_own_folder(tmp_path: Path) -> None:
    stores = [ScoreStore.under(tmp_path, {"teacher": t}, 1, 1, 1.0) for t in "aab"]
    assert stores[0].folder == stores[1].folder != stores[2].folder


def test_a_full_disk_is_named_before_anything_is_written(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path / "store", {}, 10**9, 10**6, HIGHEST)
    with pytest.raises(DiskFullError, match="score"), store.filling():
        pass
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_no_room_while_the_file_is_reserved_is_a_full_disk(tmp_path: Path) -> None:
    # A limit on the size of files stands for the disk: the same call fails for the same reason.
    code = (
        "import resource, sys; from pathlib import Path;"
        "from entromask.errors import DiskFullError;"
        "from tests.entromask.masking.fill_store import open_store;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "store = open_store(Path(sys.argv[1]), 4000, 64);\n"
        "try:\n"
        "    with store.filling(): print('allocated')\n"
        "except DiskFullError as error: print('full', error.hint is not None)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "full True\n"
    assert not (tmp_path / "scores.u8").exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_scores_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    store = ScoreStore(tmp_path, {}, 10, 4, HIGHEST)
    scores = torch.ones(2, 4)
    scores[1, 2] = value
    with store.filling():
        with pytest.raises(InputError, match="not finite, between rows 0 and 1"):
            store.append(scores)
        assert store.filled == 0


def test_rows_that_are_not_there_are_named(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path, {}, 10, 4, HIGHEST)
    with store.filling():
        store.append(torch.ones(5, 4))
        with pytest.raises(ValueError, match="more rows"):
            store.append(torch.ones(6, 4))
        with pytest.raises(ValueError, match=r"must be \[n, 4\]"):
            store.append(torch.ones(1, 5))
    with pytest.raises(ValueError, match=r"rows 2\.\.5 were asked for; the store has 0\.\.4"):
        store.read(torch.tensor([2, 5]))
    assert store.read(torch.tensor([], dtype=torch.int64)).shape == (0, 4)
