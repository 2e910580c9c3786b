import pytest
import torch
from torch import Tensor

from entromask.errors import InputError
from entromask.masking import Masker
from entromask.presets import MASKING_PRESETS
from entromask.spec import Masking
from tests.entromask.masking.tokenizers import CLS, MASK, PAD, SEP, UNK, word_tokenizer

TOKENIZER = word_tokenizer(200)
WORDS = range(5, 205)


def some_rows(count: int, length: int = 128, seed: int = 0) -> Tensor:
    """[CLS] words with a separator and an unknown word ... [SEP] padding."""
    rows = torch.randint(5, 205, (count, length), generator=torch.Generator().manual_seed(seed))
    rows[:, 0] = CLS
    rows[:, length // 2] = SEP
    rows[:, length // 3] = UNK
    rows[:, -4] = SEP
    rows[:, -3:] = PAD
    return rows


def some_scores(rows: Tensor, seed: int = 1) -> Tensor:
    return torch.rand(rows.shape, generator=torch.Generator().manual_seed(seed)) * 9


@pytest.mark.parametrize("preset", ["random", "teacher-masked-entropy-sample", "self-entropy-high"])
@pytest.mark.parametrize("rate", [0.05, 0.15, 0.4, 0.8])
def test_masks_over_100_000_tokens(preset: str, rate: float) -> None:
    rows = some_rows(850)
    maskable = rows >= 5
    assert maskable.sum() > 100_000
    scores = None if preset == "random" else some_scores(rows)
    masker = Masker({"preset": preset, "rate": rate}, TOKENIZER, seed=3)
    inputs, labels = masker(rows, torch.arange(len(rows)), 0, scores)

    selected = labels != -100
    assert inputs.dtype == labels.dtype == torch.int64
    assert not (selected & ~maskable).any()
    assert (selected.sum(1) == round(rate * int(maskable[0].sum()))).all()
    assert torch.equal(labels[selected], rows[selected])
    assert torch.equal(inputs[~selected], rows[~selected])

    count = int(selected.sum())
    masked = inputs[selected] == MASK
    kept = inputs[selected] == rows[selected]
    random = inputs[selected][~masked & ~kept]
    # A random token is the original one in 1 of 200 cases.
    for observed, share in ((masked, 0.8), (kept, 0.1 + 0.1 / 200)):
        assert (
            abs(float(observed.double().mean()) - share) < 5 * (share * (1 - share) / count) ** 0.5
        )
    assert random.min() >= 5
    assert random.max() <= 204
    if count > 40_000:  # so that none of the 200 words is missing by chance
        assert len(random.unique()) == 200
        sums = torch.bincount(random - 5, minlength=200).double()
        expected = len(random) / 200
        chi_square = float(((sums - expected) ** 2 / expected).sum())
        assert chi_square < 199 + 5 * (2 * 199) ** 0.5


@pytest.mark.parametrize(
    "shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.3, 0.2), (0.8, 0.2, 0)]
)
def test_corruption_follows_its_shares(shares: tuple[float, float, float]) -> None:
    rows = some_rows(850)
    masker = Masker({"corruption": shares, "rate": 0.5}, TOKENIZER)
    inputs, labels = masker(rows, torch.arange(len(rows)), 0)
    selected = labels != -100
    masked = (inputs[selected] == MASK).double().mean()
    kept = (inputs[selected] == rows[selected]).double().mean()
    tolerance = 5 * 0.5 / int(selected.sum()) ** 0.5
    assert float(masked) == pytest.approx(shares[0], abs=tolerance if shares[0] % 1 else 0)
    assert float(kept) == pytest.approx(shares[2] + shares[1] / 200, abs=tolerance)
    if shares[1] == 0:
        assert float(masked) + float(kept) == pytest.approx(1, abs=1e-12)


def test_corruption_does_not_depend_on_selection_scores() -> None:
    # Were both made of one noise, the positions that random masking picks would be all masked
    # or all kept.
    rows = some_rows(400)
    masker = Masker("random", TOKENIZER)
    inputs, labels = masker(rows, torch.arange(len(rows)), 0)
    shares = ((inputs == MASK) & (labels != -100)).sum(1).double() / (labels != -100).sum(1)
    assert 0.05 < float(shares.std()) < 0.15  # binomial of 18: 0.094


def test_top_selects_the_true_top() -> None:
    rows = some_rows(64)
    scores = some_scores(rows)
    labels = Masker("teacher-masked-entropy-high", TOKENIZER)(rows, torch.arange(64), 0, scores)[1]
    for row in range(64):
        maskable = [t for t in range(128) if rows[row, t] >= 5]
        maskable.sort(key=lambda t: -float(scores[row, t]))
        expected = sorted(maskable[: round(0.15 * len(maskable))])
        assert (labels[row] != -100).nonzero().squeeze(1).tolist() == expected


@pytest.mark.parametrize("preset", ["random", "teacher-masked-entropy-sample", "frequency"])
@pytest.mark.parametrize("explore", [0.0, 0.25])
def test_masks_do_not_depend_on_the_batch(preset: str, explore: float) -> None:
    rows, ids = some_rows(64), torch.arange(1000, 1064)
    scores = None if preset == "random" else some_scores(rows)
    masker = Masker({"preset": preset, "explore": explore}, TOKENIZER, seed=5)
    inputs, labels = masker(rows, ids, 2, scores)

    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    shuffled = masker(rows[order], ids[order], 2, None if scores is None else scores[order])
    assert torch.equal(shuffled[0], inputs[order])
    assert torch.equal(shuffled[1], labels[order])
    for start in range(0, 64, 7):
        part = slice(start, start + 7)
        small = masker(rows[part], ids[part], 2, None if scores is None else scores[part])
        assert torch.equal(small[0], inputs[part])
        assert torch.equal(small[1], labels[part])
    again = Masker({"preset": preset, "explore": explore}, TOKENIZER, seed=5)
    assert torch.equal(again(rows, ids, 2, scores)[0], inputs)


@pytest.mark.parametrize("other", ["epoch", "seed", "row"])
def test_another_epoch_seed_or_row_gives_another_mask(other: str) -> None:
    rows, ids = some_rows(200), torch.arange(200)
    first = Masker("random", TOKENIZER, seed=0)(rows, ids, 0)[1] != -100
    if other == "row":
        ids = ids + 200
    seed, epoch = int(other == "seed"), int(other == "epoch")
    second = Masker("random", TOKENIZER, seed=seed)(rows, ids, epoch)[1] != -100
    repeated = float((first & second).sum() / first.sum())
    assert 0.12 < repeated < 0.18  # by chance: the rate


def test_a_frozen_score_with_top_repeats_its_mask_every_epoch() -> None:
    rows = some_rows(20)
    masker, scores = Masker("teacher-masked-entropy-high", TOKENIZER), some_scores(rows)
    masks = [masker.positions(rows, torch.arange(20), epoch, scores) for epoch in (0, 1)]
    assert torch.equal(*masks)


def test_a_row_without_maskable_tokens_gets_none() -> None:
    rows = torch.tensor([[CLS, SEP, PAD, PAD], [CLS, 7, SEP, PAD]])
    inputs, labels = Masker("random", TOKENIZER)(rows, torch.arange(2), 0)
    assert torch.equal(inputs[0], rows[0])
    assert labels[0].tolist() == [-100] * 4
    assert labels[1].tolist() == [-100, 7, -100, -100]


def test_arguments_are_left_as_they_were() -> None:
    rows = some_rows(8)
    scores = some_scores(rows)
    before = rows.clone(), scores.clone()
    Masker("teacher-masked-entropy-sample", TOKENIZER)(rows, torch.arange(8), 0, scores)
    assert torch.equal(rows, before[0])
    assert torch.equal(scores, before[1])


def test_scores_made_in_inference_mode_can_be_used() -> None:
    rows = some_rows(8)
    with torch.inference_mode():
        scores = some_scores(rows)
    inputs, labels = Masker("self-entropy-sample", TOKENIZER)(rows, torch.arange(8), 0, scores)
    assert not inputs.is_inference()
    assert not labels.is_inference()


@pytest.mark.parametrize("name", [n for n, preset in MASKING_PRESETS.items() if preset.available])
def test_every_available_preset_masks(name: str) -> None:
    rows = some_rows(16)
    labels = Masker(name, TOKENIZER)(rows, torch.arange(16), 0, some_scores(rows))[1]
    assert ((labels != -100).sum(1) == round(0.15 * 122)).all()


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        ("randon", "no masking preset 'randon'"),
        ({"rate": 0}, "rate"),
        ({"rate": 1.2}, "rate"),
        ({"corruption": (0.8, 0.1, 0.2)}, "add up to 1"),
        ({"select": "highest"}, "select"),
        ({"unit": "span"}, "masking.unit: 'span' is not available yet"),
        ({"rate": {"schedule": "linear", "start": 0.3, "end": 0.1}}, "not available yet"),
    ],
)
def test_impossible_maskings_are_refused(masking: str | dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Masker(masking, TOKENIZER)


def test_a_masking_of_the_spec_is_taken_resolved_or_not() -> None:
    rows = some_rows(4)
    masking = Masking(preset="random", rate=0.3)
    plain = Masker(masking, TOKENIZER)(rows, torch.arange(4), 0)
    resolved = Masker(masking.resolved(), TOKENIZER)(rows, torch.arange(4), 0)
    assert torch.equal(plain[1], resolved[1])


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    with pytest.raises(InputError, match="has no mask token"):
        Masker("random", word_tokenizer(10, mask=False))


def test_a_tokenizer_of_special_tokens_alone_is_refused() -> None:
    with pytest.raises(InputError, match="no token that is not special"):
        Masker("random", word_tokenizer(0))


@pytest.mark.parametrize(
    ("rows", "row_ids", "scores", "message"),
    [
        (torch.zeros(4, dtype=torch.int64), torch.arange(4), None, "rows must be"),
        (torch.zeros(2, 4), torch.arange(2), None, r"rows must be .* not \(2, 4\) float32"),
        (torch.zeros(2, 4, dtype=torch.int64), torch.arange(3), None, "row_ids must be"),
        (torch.zeros(2, 4, dtype=torch.int64), torch.arange(2.0), None, "row_ids must be"),
        (torch.zeros(2, 4, dtype=torch.int64), torch.arange(2), torch.zeros(2, 3), "scores must"),
        (
            torch.zeros(2, 4, dtype=torch.int64),
            torch.arange(2),
            torch.zeros(2, 4, dtype=torch.int64),
            "scores must be floating point",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    rows: Tensor, row_ids: Tensor, scores: Tensor | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Masker("random", TOKENIZER)(rows, row_ids, 0, scores)


@pytest.mark.gpu
@pytest.mark.parametrize("preset", ["random", "teacher-masked-entropy-sample", "self-entropy-ends"])
def test_masks_are_the_same_on_cuda(preset: str) -> None:
    rows, ids = some_rows(64), torch.arange(64)
    scores = some_scores(rows)
    masker = Masker({"preset": preset, "explore": 0.1}, TOKENIZER)
    on_cpu = masker(rows, ids, 0, scores)
    on_cuda = masker(rows.cuda(), ids.cuda(), 0, scores.cuda())
    assert torch.equal(on_cuda[0].cpu(), on_cpu[0])
    assert torch.equal(on_cuda[1].cpu(), on_cpu[1])
