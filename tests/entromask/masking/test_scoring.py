import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from entromask.errors import InputError
from entromask.masking.scoring import (
    GROUPS,
    hidden_groups,
    masked_scores,
    open_teacher_scores,
    score_corpus,
    score_levels,
    visible_scores,
)
from entromask.masking.store import ScoreStore
from entromask.modeling.masked_lm import SparseMaskedLM
from tests.entromask.masking.tokenizers import CLS, MASK, SEP, word_tokenizer

VOCABULARY, LENGTH = 205, 40
TOKENIZER = word_tokenizer(200)
SPECIAL = list(range(5))


def bert() -> BertForMaskedLM:
    return BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
    )


def modernbert() -> ModernBertForMaskedLM:
    return ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=64,
            initializer_range=0.3,
            pad_token_id=0,
            cls_token_id=CLS,
            sep_token_id=SEP,
            bos_token_id=CLS,
            eos_token_id=SEP,
        )
    )


@pytest.fixture(params=[bert, modernbert])
def model(request: pytest.FixtureRequest) -> SparseMaskedLM:
    build: Callable[[], BertForMaskedLM | ModernBertForMaskedLM] = request.param
    torch.manual_seed(0)
    plain = build()
    for name, parameter in plain.named_parameters():
        if name.endswith("bias"):  # zero after initialisation, which would hide a lost bias
            torch.nn.init.normal_(parameter, std=0.5)
    return SparseMaskedLM(plain).train()


def some_rows(count: int = 6) -> Tensor:
    rows = torch.randint(5, VOCABULARY, (count, LENGTH), generator=torch.Generator().manual_seed(1))
    rows[:, 0] = CLS
    rows[:, 15] = SEP
    rows[:, -1] = SEP
    return rows


def entropy_of(logits: Tensor) -> Tensor:
    logs = logits.double().log_softmax(-1)
    return -(logs.exp() * logs).sum(-1)


def plain_entropy(model: SparseMaskedLM, rows: Tensor) -> Tensor:
    """[B, T] from the transformers model alone, over full logits."""
    training = model.training
    model.eval()
    with torch.no_grad():
        entropy = entropy_of(model.model(input_ids=rows).logits)
    model.train(training)
    return entropy


def test_visible_entropy_is_that_of_one_pass_over_the_unmasked_rows(model: SparseMaskedLM) -> None:
    rows = some_rows()
    expected = plain_entropy(model, rows)
    assert expected.std() > 0.01
    assert (visible_scores(model, rows) - expected).abs().max() < 1e-4
    assert (visible_scores(model, rows, batch_size=4) - expected).abs().max() < 1e-4
    where = rows >= 5
    some = visible_scores(model, rows, where=where, batch_size=4)
    assert (some - expected)[where].abs().max() < 1e-4
    assert (some[~where] == 0).all()


def test_masked_entropy_is_that_of_hiding_each_group_by_hand(model: SparseMaskedLM) -> None:
    rows, row_ids = some_rows(), torch.tensor([5, 900, 3, 2**33, 0, 77])
    groups = hidden_groups(rows >= 5, row_ids)
    expected = torch.zeros(rows.shape, dtype=torch.float64)
    times_scored = torch.zeros_like(rows)
    for row in range(len(rows)):
        for group in range(GROUPS):
            hidden = rows[row : row + 1].clone()
            positions = [t for t in range(LENGTH) if groups[row, t] == group]
            for t in positions:
                hidden[0, t] = MASK
            entropy = plain_entropy(model, hidden)[0]
            for t in positions:
                expected[row, t] = entropy[t]
                times_scored[row, t] += 1
    assert torch.equal(times_scored, (rows >= 5).long())
    for batch_size in (None, 4):
        scores = masked_scores(model, MASK, SPECIAL, rows, row_ids, batch_size=batch_size)
        assert (scores - expected).abs().max() < 1e-4
        assert (scores[rows < 5] == 0).all()
    visible = plain_entropy(model, rows)
    assert (visible - expected)[rows >= 5].abs().mean() > 0.01  # the views differ


def test_the_model_is_left_in_its_mode_and_runs_without_dropout(model: SparseMaskedLM) -> None:
    rows = some_rows(2)
    for training in (True, False):
        model.train(training)
        state = torch.random.get_rng_state()
        first, second = visible_scores(model, rows), visible_scores(model, rows)
        masked_scores(model, MASK, SPECIAL, rows, torch.arange(2))
        assert torch.equal(first, second)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert model.training == model.model.training == training
    assert not first.is_inference()


def test_a_part_of_the_model_that_is_in_another_mode_stays_in_it(model: SparseMaskedLM) -> None:
    part = model.model.get_input_embeddings().eval()
    visible_scores(model, some_rows(2))
    assert model.model.training
    assert not part.training


def test_what_is_not_attended_changes_no_score_and_has_none(model: SparseMaskedLM) -> None:
    rows, row_ids = some_rows(), torch.arange(6)
    attention_mask = torch.ones_like(rows)
    for row, length in enumerate((40, 9, 25, 40, 3, 31)):
        attention_mask[row, length:] = 0
    rows.masked_fill_(attention_mask == 0, 9)  # a token like any other
    for batch_size in (None, 4):
        visible = visible_scores(model, rows, attention_mask=attention_mask, batch_size=batch_size)
        masked = masked_scores(
            model,
            MASK,
            SPECIAL,
            rows,
            row_ids,
            attention_mask=attention_mask,
            batch_size=batch_size,
        )
        assert (masked[attention_mask == 0] == 0).all()
        for row in range(len(rows)):
            here = slice(row, row + 1), slice(0, int(attention_mask[row].sum()))
            alone = visible_scores(model, rows[here])
            assert (visible[here] - alone).abs().max() < 1e-4
            alone = masked_scores(model, MASK, SPECIAL, rows[here], row_ids[here[0]])
            assert (masked[here] - alone).abs().max() < 1e-4


def test_groups_are_near_equal_random_and_those_of_the_row() -> None:
    row_ids = torch.arange(300)
    maskable = torch.ones(300, 50, dtype=torch.bool)
    maskable[:, [0, 20, 49]] = False
    maskable[1:3] = False
    maskable[2, :4] = True
    groups = hidden_groups(maskable, row_ids)
    assert torch.equal(groups == -1, ~maskable)
    for row in (0, 3, 299):
        sizes = torch.bincount(groups[row][maskable[row]], minlength=GROUPS)
        assert sorted(sizes.tolist()) == [6, 6, 7, 7, 7, 7, 7]
    assert sorted(groups[2, :4].tolist()) == [0, 1, 2, 3]
    assert torch.equal(hidden_groups(maskable[40:42], row_ids[40:42]), groups[40:42])
    # Two positions share a group about as often as chance says: (3 x 6 x 5 ...) / (47 x 46).
    together = (groups[3:, 5] == groups[3:, 6]).double().mean()
    assert 0.04 < float(together) < 0.24


@pytest.mark.parametrize("view", ["visible", "masked"])
def test_score_corpus_fills_the_store_and_resumes(
    model: SparseMaskedLM, view: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entromask.masking.scoring._COMMIT_TOKENS", 4 * LENGTH)
    rows = some_rows(10).numpy().astype(np.uint16)
    highest = math.log(VOCABULARY)
    progress: list[tuple[int, int]] = []

    def fill(name: str, stop_at: int | None = None) -> ScoreStore:
        def on_progress(done: int, total: int) -> None:
            progress.append((done, total))
            if done == stop_at:
                raise KeyboardInterrupt

        store = ScoreStore(tmp_path / name, {}, 10, LENGTH, highest)
        score_corpus(
            model,
            rows,
            TOKENIZER,
            view,  # type: ignore[arg-type]
            store,
            batch_size=2,
            on_progress=on_progress,
        )
        return store

    straight = fill("straight")
    assert progress == [(4, 10), (8, 10), (10, 10)]
    tokens, row_ids = torch.from_numpy(rows.astype(np.int64)), torch.arange(10)
    if view == "visible":
        expected = visible_scores(model, tokens, where=tokens >= 5)
    else:
        expected = masked_scores(model, MASK, SPECIAL, tokens, row_ids)
    assert (straight.read(row_ids) - expected).abs().max() < highest / 510 + 1e-4
    assert straight.facts["flops"] > 0
    assert straight.facts["seconds"] > 0

    with pytest.raises(KeyboardInterrupt):
        fill("resumed", stop_at=4)
    resumed = fill("resumed")
    files = [tmp_path / name / "scores.u8" for name in ("straight", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert resumed.facts["flops"] == straight.facts["flops"]

    progress.clear()
    fill("resumed")
    assert progress == []


def test_two_that_start_together_score_once(model: SparseMaskedLM, tmp_path: Path) -> None:
    rows = some_rows(8).numpy().astype(np.uint16)
    done: list[int] = []
    stores = [ScoreStore(tmp_path, {}, 8, LENGTH, math.log(VOCABULARY)) for _ in range(2)]

    def fill(store: ScoreStore) -> None:
        score_corpus(
            model,
            rows,
            TOKENIZER,
            "visible",
            store,
            on_progress=lambda filled, total: done.append(filled),
        )

    threads = [threading.Thread(target=fill, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [8]
    both = [store.read(torch.arange(8)) for store in stores]
    assert torch.equal(*both)


@dataclass
class Packed:
    train: np.ndarray
    fingerprint: str


def test_a_teacher_is_asked_once_for_a_corpus_and_a_view(model: SparseMaskedLM, home: Path) -> None:
    corpus = Packed(some_rows(4).numpy().astype(np.uint16), "corpus")
    done: list[int] = []

    def scores(view: str = "masked", corpus: Packed = corpus) -> tuple[ScoreStore, dict]:
        return open_teacher_scores(
            model,
            corpus,
            TOKENIZER,
            view,
            on_progress=lambda filled, total: done.append(filled),
        )

    store, cost = scores()
    assert store.complete
    assert store.folder.is_relative_to(home)
    assert set(cost) == {"seconds", "flops"}
    assert done == [4]
    again, same_cost = scores()
    assert done == [4]
    assert again.folder == store.folder
    assert same_cost == cost
    assert cost["flops"] > scores("visible")[1]["flops"] > 0
    assert done == [4, 4]
    scores(corpus=Packed(corpus.train, "another"))
    assert done == [4, 4, 4]
    with torch.no_grad():
        next(model.parameters()).add_(0.01)
    scores()
    assert done == [4, 4, 4, 4]
    with pytest.raises(InputError, match="view 'hidden' is unknown"):
        scores("hidden")


@pytest.mark.parametrize(("shares", "levels"), [([1.0], 1), ([0.9, 0.1], 1), ([0.8, 0.2], 2)])
def test_levels_are_counted_until_they_hold_nine_tenths_of_the_scores(
    shares: list[float], levels: int, tmp_path: Path
) -> None:
    # 100 words a row behind [CLS], whose score is no score; more rows than are counted at once.
    rows = np.full((6000, 101), 7, np.uint16)
    rows[:, 0] = CLS
    scores = np.zeros(101, np.float32)
    scores[1:] = np.repeat(np.arange(1, 1 + len(shares)), [round(100 * s) for s in shares])
    store = ScoreStore(tmp_path / "store", {"of": "levels"}, *rows.shape, highest=255.0)
    with store.filling():
        store.append(torch.from_numpy(np.tile(scores, (6000, 1))))
    assert score_levels(store, rows, TOKENIZER) == levels


def test_scores_that_spread_evenly_need_nine_tenths_of_their_levels(tmp_path: Path) -> None:
    rows = np.full((1, 200), 7, np.uint16)
    store = ScoreStore(tmp_path / "store", {"of": "levels"}, *rows.shape, highest=255.0)
    with store.filling():
        store.append(torch.arange(200.0)[None])
    assert score_levels(store, rows, TOKENIZER) == 180


@pytest.mark.gpu
def test_scores_on_cuda_are_those_of_the_cpu(model: SparseMaskedLM) -> None:
    rows, row_ids = some_rows(), torch.arange(6)
    visible = visible_scores(model, rows)
    masked = masked_scores(model, MASK, SPECIAL, rows, row_ids)
    model.cuda()
    assert (visible_scores(model, rows) - visible).abs().max() < 1e-3
    assert (masked_scores(model, MASK, SPECIAL, rows, row_ids) - masked).abs().max() < 1e-3
