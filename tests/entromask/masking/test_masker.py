import hashlib

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.masking import Masker
from entromask.masking.noise import uniform
from entromask.masking.selection import SELECTIONS
from entromask.masking.units import WordStarts, first_positions, unit_starts
from entromask.presets import MASKING_PRESETS
from entromask.spec import Masking
from tests.entromask.masking.tokenizers import CLS, MASK, PAD, SEP, UNK, word_tokenizer
from tests.entromask.text.trained import TEXTS, wordpiece

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


@pytest.mark.parametrize("name", MASKING_PRESETS)
def test_every_preset_masks(name: str) -> None:
    rows = some_rows(16)
    masker = Masker(name, TOKENIZER)
    labels = masker(rows, torch.arange(16), 0, some_scores(rows))[1]
    rate = masker.masking.rate
    rate = rate if isinstance(rate, float) else rate.start  # type: ignore[union-attr]
    assert ((labels != -100).sum(1) == round(rate * 121)).all()


def some_words(rows: Tensor, share: float = 0.5) -> Tensor:
    return torch.rand(rows.shape, generator=torch.Generator().manual_seed(2)) < share


def broken_units(selected: Tensor, starts: Tensor) -> Tensor:
    """[B]: how many units of each row are selected in part."""
    first = first_positions(starts)
    inside = torch.zeros(rows_of(selected)).scatter_add_(1, first, selected.float())
    size = torch.zeros(rows_of(selected)).scatter_add_(1, first, torch.ones(rows_of(selected)))
    return ((inside > 0) & (inside < size)).sum(1)


def rows_of(tensor: Tensor) -> tuple[int, int]:
    return tensor.shape[0], tensor.shape[1]


@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize("rule", SELECTIONS)
@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("explore", [0.0, 0.3])
def test_units_are_masked_whole(unit: str, rule: str, scored: bool, explore: float) -> None:
    rows, ids = some_rows(300), torch.arange(300)
    words = some_words(rows)
    parts = {"score": "frequency", "select": rule, "unit": unit, "explore": explore, "rate": 0.3}
    masker = Masker(parts, TOKENIZER)
    scores = some_scores(rows) if scored else None
    selected = masker.positions(rows, ids, 0, scores, words=words)
    assert (selected.sum(1) == round(0.3 * 121)).all()
    assert not (selected & (rows < 5)).any()

    starts = unit_starts(unit, words, rows >= 5, lambda name: uniform(0, name, 0, ids, 128))
    broken = broken_units(selected, starts)
    cuts = (2 if scored and rule in ("middle", "ends") else 1) + (scored and explore > 0)
    assert broken.max() <= cuts
    # Tokens that are drawn one by one break about half of the units.
    alone = Masker(parts | {"unit": "token"}, TOKENIZER).positions(rows, ids, 0, scores)
    assert broken_units(alone, starts).double().mean() > 6


@pytest.mark.parametrize("unit", ["word", "span"])
def test_top_units_are_those_with_the_highest_mean(unit: str) -> None:
    rows, ids = some_rows(40), torch.arange(40)
    words, scores = some_words(rows), some_scores(rows)
    parts = {"preset": "teacher-masked-entropy-high", "unit": unit}
    selected = Masker(parts, TOKENIZER).positions(rows, ids, 0, scores, words=words)
    starts = unit_starts(unit, words, rows >= 5, lambda name: uniform(0, name, 0, ids, 128))
    for row in range(40):
        units: list[list[int]] = []
        for t in range(128):
            if starts[row, t]:
                units.append([])
            if rows[row, t] >= 5:
                units[-1].append(t)
        units = [one for one in units if one]
        units.sort(key=lambda one: -float(scores[row, one].double().mean()))
        expected = [t for one in units for t in one][: round(0.15 * 121)]
        assert sorted(expected) == selected[row].nonzero().squeeze(1).tolist()


def test_without_scores_every_word_is_as_likely() -> None:
    # Words of one and three tokens in turn; a cut word loses its end, never its beginning.
    rows = torch.full((20_000, 32), 7)
    words = torch.tensor([True, True, False, False] * 8).expand(20_000, 32)
    masker = Masker({"unit": "word", "rate": 0.25}, TOKENIZER)
    shares = masker.positions(rows, torch.arange(20_000), 0, words=words).double().mean(0)
    by_place = shares.view(8, 4)
    assert (by_place - by_place.mean(0)).abs().max() < 5 * 0.5 / 20_000**0.5
    assert by_place.mean() == pytest.approx(0.25, abs=1e-12)
    assert by_place.mean(0).tolist() == pytest.approx([0.25] * 4, abs=0.06)


@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize("scored", [False, True])
def test_units_do_not_depend_on_the_batch(unit: str, scored: bool) -> None:
    rows, ids = some_rows(64), torch.arange(1000, 1064)
    words, scores = some_words(rows), some_scores(rows) if scored else None
    masker = Masker({"score": "entropy", "unit": unit, "explore": 0.2}, TOKENIZER, seed=5)
    inputs, labels = masker(rows, ids, 2, scores, words=words)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for part in (order, slice(3, 10)):
        some = None if scores is None else scores[part]
        again = masker(rows[part], ids[part], 2, some, words=words[part])
        assert torch.equal(again[0], inputs[part])
        assert torch.equal(again[1], labels[part])


def test_spans_change_from_epoch_to_epoch() -> None:
    rows, scores = some_rows(50), some_scores(some_rows(50))
    masker = Masker({"preset": "teacher-masked-entropy-high", "unit": "span"}, TOKENIZER)
    first, second = (masker.positions(rows, torch.arange(50), e, scores) for e in (0, 1))
    assert not torch.equal(first, second)


def test_whole_words_without_a_text_are_told_by_the_types() -> None:
    tokenizer = wordpiece()
    text = " ".join(TEXTS[:3])
    row = torch.tensor([tokenizer(text)["input_ids"]])
    rows, ids = row.expand(200, -1), torch.arange(200)
    selected = Masker("whole-word", tokenizer).positions(rows, ids, 0)
    starts = WordStarts(tokenizer)(rows)
    starts |= torch.isin(rows, torch.tensor(tokenizer.all_special_ids))
    assert (~starts).sum() > 0
    assert broken_units(selected, starts).max() <= 1
    alone = Masker("random", tokenizer).positions(rows, ids, 0)
    assert broken_units(alone, starts).double().mean() > 1


def test_words_do_not_matter_to_single_tokens() -> None:
    rows, ids = some_rows(8), torch.arange(8)
    masker = Masker("random", TOKENIZER)
    plain = masker(rows, ids, 0)
    assert torch.equal(masker(rows, ids, 0, words=some_words(rows), progress=0.7)[1], plain[1])


@pytest.mark.parametrize(
    ("preset", "rates"), [("rate-decay", (0.3, 0.225, 0.15)), ("time-variant", (0.32, 0.17, 0.02))]
)
def test_the_rate_follows_the_run(preset: str, rates: tuple[float, float, float]) -> None:
    rows, ids = some_rows(10), torch.arange(10)
    masker = Masker(preset, TOKENIZER)
    for progress, rate in zip((0.0, 0.5, 1.0), rates, strict=True):
        labels = masker(rows, ids, 0, progress=progress)[1]
        assert ((labels != -100).sum(1) == round(rate * 121)).all()
    with pytest.raises(ValueError, match="progress must be between 0 and 1"):
        masker(rows, ids, 0, progress=1.5)


# SHA-256 over the selected positions: masks of single tokens are promised never to change.
GOLDEN = {
    "sample": "06698595f345dba7",
    "top": "8b4ae8fafa7fe93f",
    "bottom": "82b45b9fbfa5d1d4",
    "middle": "63ec8b7c63ab25dd",
    "ends": "898e32b24696ff75",
}


@pytest.mark.parametrize("rule", SELECTIONS)
def test_masks_of_single_tokens_stay_as_they_are(rule: str) -> None:
    rows, ids = some_rows(64), torch.arange(500, 564)
    places = torch.arange(64 * 128, dtype=torch.float64).view(64, 128)
    scores = (places * 0.6180339887498949).frac() * 9
    scores[3] = 1.0
    digest = hashlib.sha256()
    for explore in (0.0, 0.3):
        parts = {"score": "entropy", "select": rule, "explore": explore}
        for given in (None, scores.float()):
            inputs, labels = Masker(parts, TOKENIZER, seed=7)(rows, ids, 3, given)
            digest.update(inputs.numpy().tobytes() + labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == GOLDEN[rule]


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        ("randon", "no masking preset 'randon'"),
        ({"rate": 0}, "rate"),
        ({"rate": 1.2}, "rate"),
        ({"corruption": (0.8, 0.1, 0.2)}, "add up to 1"),
        ({"select": "highest"}, "select"),
        ({"unit": "sentence"}, "unit"),
        ({"rate": {"schedule": "linear", "start": 0.3}}, "rate"),
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


@pytest.mark.parametrize("words", [torch.ones(2, 3).bool(), torch.ones(2, 4)])
def test_words_that_do_not_fit_are_named(words: Tensor) -> None:
    rows = torch.zeros(2, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"words must be bool of the shape of rows, \(2, 4\)"):
        Masker("whole-word", TOKENIZER)(rows, torch.arange(2), 0, words=words)


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


@pytest.mark.gpu
@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize("rule", SELECTIONS)
def test_units_are_the_same_on_cuda(unit: str, rule: str) -> None:
    rows, ids = some_rows(64), torch.arange(64)
    scores, words = some_scores(rows), some_words(rows)
    masker = Masker({"score": "entropy", "select": rule, "unit": unit, "explore": 0.1}, TOKENIZER)
    on_cpu = masker(rows, ids, 0, scores, words=words)
    on_cuda = masker(rows.cuda(), ids.cuda(), 0, scores.cuda(), words=words.cuda())
    assert torch.equal(on_cuda[0].cpu(), on_cpu[0])
    assert torch.equal(on_cuda[1].cpu(), on_cpu[1])


def tagged() -> tuple[PreTrainedTokenizerBase, int]:
    """A tokenizer with a special token of a user's, and its id."""
    tokenizer = word_tokenizer(200)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[ENT]"]})
    return tokenizer, int(tokenizer.convert_tokens_to_ids("[ENT]"))


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_special_tokens_of_a_user_are_masked_like_any_other(unit: str) -> None:
    tokenizer, entity = tagged()
    rows = some_rows(100)
    rows[:, 10:20] = entity
    masker = Masker({"rate": 0.5, "unit": unit}, tokenizer)
    assert torch.equal(masker.maskable(rows), rows >= 5)
    _, labels = masker(rows, torch.arange(100), 0)
    assert 0.3 < float((labels == entity).sum()) / 1000 < 0.7
    assert not torch.isin(labels, torch.tensor([CLS, SEP, PAD, UNK, MASK])).any()


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_excluded_tokens_are_never_masked_and_never_drawn(unit: str) -> None:
    tokenizer, entity = tagged()
    rows = some_rows(100)
    rows[:, 10:20] = entity
    listed = ["[ENT]", "w7"]
    ids = torch.tensor(tokenizer.convert_tokens_to_ids(listed))
    masking = {
        "rate": 0.5,
        "unit": unit,
        "exclude_tokens": listed,
        "corruption": [0.0, 1.0, 0.0],
    }
    masker = Masker(masking, tokenizer)
    inputs, labels = masker(rows, torch.arange(100), 0)
    assert not torch.isin(labels, ids).any()
    drawn = inputs[labels != -100]
    assert len(drawn) > 4000
    assert not torch.isin(drawn, ids).any()


def test_an_excluded_token_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match=r"exclude_tokens lists '\[XYZ\]'"):
        Masker({"exclude_tokens": ["[XYZ]"]}, TOKENIZER)
