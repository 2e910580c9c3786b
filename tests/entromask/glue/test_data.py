from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from entromask.errors import DependencyMissingError, InputError
from entromask.glue.data import check_tasks, load_task
from entromask.settings import settings
from entromask.spec import Evaluation, TaskSource
from tests.entromask.text.containers import FORMATS, PACKINGS, pack, table

from .conftest import two_class_rows, write_rows

COLA = two_class_rows(4, ("sentence",))


def local(*folders: Path) -> TaskSource:
    return TaskSource(local=[str(folder) for folder in folders])


def cola(folder: Path, train: list[Any] = COLA, validation: list[Any] = COLA) -> TaskSource:
    write_rows(folder / "cola/train.jsonl", train)
    write_rows(folder / "cola/validation.jsonl", validation)
    return local(folder)


def refusal(name: str, source: TaskSource) -> str:
    with pytest.raises(InputError) as caught:
        load_task(name, source)
    assert caught.value.hint
    return caught.value.message


def test_only_the_columns_of_the_task_are_read(tmp_path: Path) -> None:
    data = load_task("cola", cola(tmp_path))
    assert data.splits["train"] == {
        "sentence": [row["sentence"] for row in COLA],
        "label": [0, 1, 0, 1],
    }
    assert data.rows == 4


def test_jsonl_tsv_csv_parquet_and_gz_give_the_same_rows(tmp_path: Path) -> None:
    import gzip

    import pyarrow as pa
    import pyarrow.parquet

    rows = [*COLA, {"sentence": 'a "quoted" word\u2028here', "label": 1, "idx": 4}]
    expected = load_task("cola", cola(tmp_path / "jsonl", rows, rows))
    tsv = "idx\tsentence\tlabel\r\n" + "".join(
        f"{row['idx']}\t{row['sentence']}\t{row['label']}\r\n" for row in rows
    )
    table = pa.Table.from_pylist(rows)
    for split in ("train", "validation"):
        for kind in ("tsv", "tsv.gz", "csv", "parquet", "shards"):
            (tmp_path / kind / "cola").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"tsv/cola/{split}.tsv").write_bytes(b"\xef\xbb\xbf" + tsv.encode())
        (tmp_path / f"tsv.gz/cola/{split}.tsv.gz").write_bytes(gzip.compress(tsv.encode()))
        with (tmp_path / f"csv/cola/{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["idx", "sentence", "label"])
            writer.writeheader()
            writer.writerows(rows)
        pa.parquet.write_table(table, tmp_path / f"parquet/cola/{split}.parquet")
        for number, shard in enumerate((table[:2], table[2:])):
            name = f"{split}-0000{number}-of-00002.parquet"
            pa.parquet.write_table(shard, tmp_path / "shards/cola" / name)
    for kind in ("tsv", "tsv.gz", "csv", "parquet", "shards"):
        found = load_task("cola", local(tmp_path / kind))
        assert found.splits == expected.splits, kind
        assert found.fingerprint == expected.fingerprint


def test_the_first_folder_that_has_the_task_wins(tmp_path: Path) -> None:
    cola(tmp_path / "second", validation=COLA[:2])
    cola(tmp_path / "third", validation=COLA[:3])
    (tmp_path / "first").mkdir()
    found = load_task("cola", local(*(tmp_path / name for name in ("first", "second", "third"))))
    assert found.rows == 2


def test_glue_dir_is_used_where_no_source_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cola(tmp_path / "b")
    monkeypatch.setenv("ENTROMASK_GLUE_DIR", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    settings.cache_clear()
    try:
        assert load_task("cola").rows == 4
    finally:
        settings.cache_clear()


def test_without_a_folder_and_a_network_the_hub_is_named_in_one_sentence() -> None:
    with pytest.raises(DependencyMissingError, match="nyu-mll/glue"):
        load_task("cola", None)
    with pytest.raises(DependencyMissingError, match="nyu-mll/blimp"):
        load_task("blimp", TaskSource(hub="nyu-mll/glue"))


def test_a_missing_task_split_or_column_is_named(tmp_path: Path) -> None:
    source = cola(tmp_path)
    assert str(tmp_path / "rte") in refusal("rte", source)
    (tmp_path / "cola/validation.jsonl").unlink()
    assert "'validation'" in refusal("cola", source)
    cola(tmp_path, validation=[{"text": "x", "label": 0}])
    message = refusal("cola", source)
    assert "'sentence'" in message
    assert "text, label" in message


@pytest.mark.parametrize("label", [2, -1, 0.5, "x", None, float("nan")])
def test_a_label_outside_the_set_is_named_with_its_row(tmp_path: Path, label: Any) -> None:
    rows = [*COLA, {"sentence": "x", "label": label}]
    message = refusal("cola", cola(tmp_path, train=rows))
    assert "line 5" in message
    assert repr(label) in message
    assert "0, 1" in message


@pytest.mark.parametrize(("label", "allowed"), [(0, True), (5.0, True), (5.1, False), (-1, False)])
def test_a_similarity_lies_between_0_and_5(tmp_path: Path, label: float, allowed: bool) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "label": label}]
    for split in ("train", "validation"):
        write_rows(tmp_path / f"stsb/{split}.jsonl", rows)
    if allowed:
        assert load_task("stsb", local(tmp_path)).references("train") == [float(label)]
    else:
        assert "line 1" in refusal("stsb", local(tmp_path))


def test_a_column_that_the_task_does_not_use_may_be_missing_in_a_row(tmp_path: Path) -> None:
    rows = [*COLA, {"sentence": "x", "label": 1}]
    assert load_task("cola", cola(tmp_path, validation=rows)).rows == 5


def test_a_text_that_is_no_text_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [*COLA, {"sentence": None, "label": 1}]
    assert "line 5" in refusal("cola", cola(tmp_path, train=rows))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no rows"),
        (b"\n\n", "has no rows"),
        (b'{"sentence": "x", "label": 1}\n{"sent', "line 2"),
        (b"[1]\n", "line 1"),
        (b'{"sentence": "x", "label": 1}\n{"label": 1}\n', "line 2"),
        (b'{"sentence": "\xff\xfe"}', "UTF-8"),
    ],
)
def test_a_damaged_jsonl_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    source = cola(tmp_path)
    (tmp_path / "cola/train.jsonl").write_bytes(content)
    assert words in refusal("cola", source)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.jsonl.gz", b"\x1f\x8b no gzip", "gzip"),
        ("train.jsonl.gz", b"plain", "gzip"),
        ("train.parquet", b"PAR1 no parquet", "parquet"),
        ("train.tsv", b"sentence\tlabel\nx\t1\ty\n", "line 2"),
        ("train.tsv", b"sentence\tlabel\n", "no rows"),
        ("train.tsv", b"\xef\xbb\xbf\n", "has no rows"),
        ("train.csv", b"sentence,label\nx,1,y\n", "line 2"),
        ("train.csv", b'sentence,label\n"x,1\ny,0\n', "line 2: the quote that opens a field there"),
        ("train.csv", b'sentence,label\n"x" y,1\n', "line 2 has text behind the closing quote"),
    ],
)
def test_a_damaged_file_of_another_format_is_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    source = cola(tmp_path)
    (tmp_path / "cola/train.jsonl").unlink()
    (tmp_path / "cola" / name).write_bytes(content)
    assert words in refusal("cola", source)


def test_ax_brings_the_training_rows_of_mnli(glue_dir: Path) -> None:
    ax, mnli = (load_task(name, local(glue_dir)) for name in ("ax", "mnli"))
    assert ax.splits["train"] == mnli.splits["train"]
    assert ax.rows == 9
    assert mnli.rows == 12 + 15


def test_ax_without_labels_is_only_predicted(glue_dir: Path, tmp_path: Path) -> None:
    rows = [{"premise": "a", "hypothesis": "b", "label": -1}] * 3
    write_rows(tmp_path / "ax/test.jsonl", rows)
    data = load_task("ax", local(tmp_path, glue_dir))
    assert not data.scored
    assert data.test == ("test",)
    assert load_task("ax", local(glue_dir)).scored
    assert load_task("ax", local(glue_dir)).test == ()
    # Labels of a part are a damaged file.
    write_rows(tmp_path / "ax/test.jsonl", [*rows, {**rows[0], "label": 1}])
    assert "line 1" in refusal("ax", local(tmp_path, glue_dir))


def test_ax_without_mnli_is_refused(glue_dir: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "ax/test.jsonl", two_class_rows(3, ("premise", "hypothesis"), 3))
    assert "mnli" in refusal("ax", local(tmp_path))


def test_blimp_may_be_one_file_or_one_a_paradigm(glue_dir: Path, tmp_path: Path) -> None:
    import gzip

    lines = gzip.decompress((glue_dir / "blimp/blimp.jsonl.gz").read_bytes()).splitlines(True)
    (tmp_path / "blimp").mkdir()
    for paradigm in range(3):
        mine = [line for line in lines if json.loads(line)["UID"] == f"paradigm_{paradigm}"]
        (tmp_path / f"blimp/paradigm_{paradigm}.jsonl").write_bytes(b"".join(mine))
    one, many = (load_task("blimp", local(folder)) for folder in (glue_dir, tmp_path))
    assert one.rows == many.rows == 18
    assert "label" not in one.splits["validation"]


def test_the_preflight_names_the_first_task_that_fails(tmp_path: Path) -> None:
    evaluation = Evaluation(tasks=["cola", "rte"], source=cola(tmp_path))
    with pytest.raises(InputError, match="task rte"):
        check_tasks(evaluation)
    check_tasks(evaluation.model_copy(update={"tasks": ["cola", "demo-pair"]}))


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    first = load_task("cola", cola(tmp_path)).fingerprint
    assert load_task("cola", cola(tmp_path)).fingerprint == first
    assert load_task("cola", cola(tmp_path, train=COLA[:3])).fingerprint != first


def test_the_official_rows_pass(shared_data: Path) -> None:
    source = local(shared_data / "glue", shared_data)
    rows = {name: load_task(name, source).rows for name in ("cola", "mrpc", "stsb", "rte", "blimp")}
    assert rows == {"cola": 1043, "mrpc": 408, "stsb": 1500, "rte": 277, "blimp": 67000}
    from entromask.glue.paradigms import PARADIGMS

    assert set(load_task("blimp", source).splits["validation"]["UID"]) == set(PARADIGMS)
    # MNLI is not there.
    assert "mnli" in refusal("ax", source)


def test_a_sample_of_training_rows_is_random_the_same_and_part_of_a_larger_one(
    tmp_path: Path,
) -> None:
    rows = two_class_rows(200, ("sentence",))
    source = cola(tmp_path, train=[{**row, "sentence": f"s{row['idx']}"} for row in rows])

    def sampled(count: int) -> list[str]:
        data = load_task("cola", source, max_train_rows=count)
        assert data.train_rows == {"used": count, "of": 200}
        pairs = zip(data.splits["train"]["sentence"], data.references("train"), strict=True)
        assert all(int(text[1:]) % 2 == label for text, label in pairs)
        return data.splits["train"]["sentence"]

    few, more = sampled(20), sampled(60)
    assert few == sampled(20)
    assert set(few) < set(more)
    assert few != [f"s{row}" for row in range(20)]
    assert few == sorted(few, key=lambda text: int(text[1:]))


def test_a_sample_counts_in_the_fingerprint_only_where_it_takes_rows_away(tmp_path: Path) -> None:
    source = cola(tmp_path)
    whole = load_task("cola", source).fingerprint
    assert load_task("cola", source, max_train_rows=4).fingerprint == whole
    assert load_task("cola", source, max_train_rows=99).train_rows == {"used": 4, "of": 4}
    assert load_task("cola", source, max_train_rows=3).fingerprint != whole


@pytest.mark.parametrize("labels", [None, -1, 7])
def test_test_splits_need_no_labels_and_leave_the_fingerprint(
    tmp_path: Path, labels: int | None
) -> None:
    source = cola(tmp_path)
    before = load_task("cola", source)
    rows = [{"sentence": f"test {number}"} for number in range(3)]
    more = {} if labels is None else {"label": labels}
    write_rows(tmp_path / "cola/test.jsonl", [{**row, **more} for row in rows])
    data = load_task("cola", source, test=True)
    assert data.test == ("test",)
    assert data.splits["test"]["sentence"] == ["test 0", "test 1", "test 2"]
    assert data.references("test") == [-1] * 3
    assert data.fingerprint == before.fingerprint
    assert data.rows == before.rows
    first = data.test_fingerprint
    write_rows(tmp_path / "cola/test.jsonl", rows[:2])
    assert load_task("cola", source, test=True).test_fingerprint != first
    assert load_task("cola", source).test == ()


def test_mnli_has_two_test_splits_and_a_missing_one_is_named(
    glue_dir: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(glue_dir, tmp_path, dirs_exist_ok=True)
    rows = two_class_rows(5, ("premise", "hypothesis"))
    write_rows(tmp_path / "mnli/test_matched.jsonl", rows)
    with pytest.raises(InputError, match="'test_mismatched' is missing") as caught:
        load_task("mnli", local(tmp_path), test=True)
    assert "evaluation.predict_test" in str(caught.value.hint)
    write_rows(tmp_path / "mnli/test_mismatched.jsonl", rows)
    evaluation = Evaluation(tasks=["mnli", "ax", "blimp"], source=local(tmp_path))
    check_tasks(evaluation.model_copy(update={"predict_test": True}))
    assert load_task("ax", local(tmp_path), test=True).test == ("test",)
    with pytest.raises(InputError, match="task rte: the split 'test'"):
        check_tasks(evaluation.model_copy(update={"predict_test": True, "tasks": ["rte"]}))


def test_what_others_start_from_is_checked_too(glue_dir: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(glue_dir / "rte", tmp_path / "rte")
    evaluation = Evaluation(tasks=["rte"], source=local(tmp_path), intermediate="mnli")
    with pytest.raises(InputError, match="task mnli: no folder"):
        check_tasks(evaluation)
    check_tasks(evaluation.model_copy(update={"intermediate": None}))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("layout", ["file", "shards", "BLiMP"])
def test_every_format_packing_and_layout_gives_the_same_rows(
    tmp_path: Path, suffix: str, packing: str, layout: str
) -> None:
    pairs: list[dict[str, object]] = [
        {
            "sentence_good": f"good {row}",
            "sentence_bad": f"bad {row}",
            "linguistics_term": "term",
            "UID": "paradigm",
        }
        for row in range(5)
    ]
    task, rows = ("blimp", pairs) if layout == "BLiMP" else ("cola", list(COLA))
    parts = {"train": rows, "validation": rows}
    if layout == "shards":
        parts = {
            f"{split}-0000{number}-of-00002": rows[number * 2 :][:2]
            for split in ("train", "validation")
            for number in (0, 1)
        }
    elif layout == "BLiMP":
        parts = {"a": rows[:3], "b": rows[3:]}
    (tmp_path / task).mkdir()
    for name, part in parts.items():
        file = tmp_path / task / f"{name}{suffix}{packing}"
        file.write_bytes(pack(table(suffix, part), packing))
    data = load_task(task, local(tmp_path))
    names = [name for name in rows[0] if name in data.splits["validation"]]
    for name in names:
        assert data.splits["validation"][name] == [row[name] for row in rows]
    assert data.rows == len(rows)
    used = 0 if layout == "BLiMP" else 4
    assert data.train_rows == {"used": used, "of": used}
