"""Token previews: offsets, numbers against direct computations, masks as a run draws them."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from entromask.analysis import preview_masks
from entromask.analysis.preview import MOST_TOKENS, preview
from entromask.analysis.preview_masks import Row, preset_entries
from entromask.analysis.preview_scores import PreviewScores, RowScore
from entromask.analysis.previewed_run import progress_of
from entromask.analysis.previewer import Previewer, parse_reference
from entromask.errors import InputError
from entromask.masking import Masker
from entromask.masking.accuracy import AccuracyWeights
from entromask.masking.frequency import FrequencyScore
from entromask.masking.pmi import PMIScore
from entromask.masking.rates import rate_at
from entromask.masking.scoring import masked_scores, visible_scores
from entromask.modeling.architectures import save_pretrained
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.presets import MASKING_PRESETS
from entromask.spec import Masking, ModelReference, RunSpec
from tests.console import entromask
from tests.entromask.runs import small_spec, weights, write_corpus
from tests.entromask.text.trained import train

POSITIONS = 64
SENTENCE = "the quick brown fox jumps over a lazy dog while seven small birds sing in old trees"
WORDS = SENTENCE.split()
# Emoji of several code points, right-to-left text, and mark-up with accents and entities.
TEXTS = [
    "The fox 😀 and 👩‍👩‍👧 jumps over naïve e\u0301tudes 🇩🇪!",
    "שלום עולם, the fox مرحبا بالعالم jumps",
    "<p class='a'>The <b>quick</b> fox &amp; [MASK] [CLS] <br/></p>\n\n\t© 1999",
]


def wordpiece() -> PreTrainedTokenizerFast:
    documents = [" ".join(order) for order in itertools.islice(itertools.permutations(WORDS), 50)]
    return train([*documents, *TEXTS[1:]], 300)


def byte_level() -> PreTrainedTokenizerFast:
    special = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([SENTENCE] * 5, trainer)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, special, strict=True))
    )


WORDPIECE, BYTE_LEVEL = wordpiece(), byte_level()


def build(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> BertForMaskedLM:
    """Random weights, large enough that predictions differ from place to place."""
    torch.manual_seed(seed)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=POSITIONS,
            initializer_range=0.3,
        )
    )


MODEL = build(WORDPIECE)
# Most words are of several pieces.
PIECES = "unquick foxes overjumped lazying birddogs, while trees sang sevenfold olderwhiles"
# At some positions it is sure of one token, at the others of nothing.
SHARP = build(WORDPIECE)
with torch.no_grad():
    SHARP.cls.predictions.decoder.weight.mul_(0.3)
    SHARP.cls.predictions.decoder.weight[WORDPIECE.pad_token_id] = 10 * torch.randn(32)


def brought() -> dict[str, RowScore]:
    """What a run brings: scores of types and pairs that differ by far more than chance."""
    types = len(WORDPIECE)
    orders = itertools.islice(itertools.permutations(WORDS), 50)
    texts = [*(" ".join(order) for order in orders), *[PIECES] * 20]
    ids = [WORDPIECE(text, add_special_tokens=False)["input_ids"][:14] for text in texts]
    rows = torch.tensor([one for one in ids if len(one) == 14]).numpy()
    counts = torch.bincount(torch.tensor(rows).flatten(), minlength=types).numpy()
    weights = AccuracyWeights(types)
    weights.weights = torch.logspace(-3, 0, types, dtype=torch.float64)
    return {
        "frequency": FrequencyScore(10 ** torch.linspace(1, 7, types)),
        "pmi": PMIScore.of_rows(rows, counts, WORDPIECE.all_special_ids),
        "amlm": weights,
    }


BROUGHT = brought()


def look(text: str = SENTENCE, **options: Any) -> dict[str, Any]:
    return preview(MODEL, WORDPIECE, text, **options)


def masks(name: str, text: str = PIECES, **options: Any) -> dict[str, Any]:
    """The entry of one preset for a model that is sure of some tokens and unsure of others."""
    result = preview(SHARP, WORDPIECE, text, [name], scores=BROUGHT, **options)
    (entry,) = result["presets"]
    return dict(entry) | {"tokens": result["tokens"]}


def row_of(result: dict[str, Any], window: int = 0) -> Tensor:
    return torch.tensor([[t["id"] for t in result["tokens"] if t["window"] == window]])


def log_probabilities(rows: Tensor) -> Tensor:
    """[B, T, V] from the full table of logits, in float64."""
    double = build(WORDPIECE).double().eval()
    double.load_state_dict(MODEL.state_dict())
    with torch.no_grad():
        return double(input_ids=rows).logits.log_softmax(-1)


def entropy(logs: Tensor) -> Tensor:
    return -(logs.exp() * logs).sum(-1)


@pytest.mark.parametrize("tokenizer", [WORDPIECE, BYTE_LEVEL], ids=["wordpiece", "bytes"])
@pytest.mark.parametrize("text", TEXTS)
def test_offsets_slice_the_text_into_its_tokens(
    text: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokens = preview(build(tokenizer), tokenizer, text)["tokens"]
    assert [t["position"] for t in tokens] == list(range(len(tokens)))
    assert (tokens[0]["start"], tokens[0]["end"]) == (0, 0)
    assert tokens[-1]["start"] == tokens[-1]["end"]
    covered: set[int] = set()
    for token in tokens:
        piece = text[token["start"] : token["end"]]
        assert bool(piece) is (token["entropy"] is not None)
        if piece and not token["special"] and tokenizer is WORDPIECE:
            spelt = tokenizer.backend_tokenizer.normalizer.normalize_str(piece)
            assert spelt == token["token"].removeprefix("##")
        covered |= set(range(token["start"], token["end"]))
    left = {text[i] for i in range(len(text)) if i not in covered}
    assert all(one.isspace() or one == "\u0301" for one in left)


def test_special_tokens_spelt_out_in_the_text_are_plain_characters() -> None:
    tokens = look("the [MASK] fox")["tokens"]
    assert [t["token"] for t in tokens if t["id"] == WORDPIECE.mask_token_id] == []
    assert tokens[0]["special"] is True
    assert tokens[1]["special"] is False


def test_entropy_is_that_of_the_full_logits_with_the_text_visible() -> None:
    result = look()
    exact = entropy(log_probabilities(row_of(result)))[0]
    for token in result["tokens"][1:-1]:
        assert token["entropy"] == pytest.approx(float(exact[token["position"]]), abs=1e-4)
    assert result["max_entropy"] == pytest.approx(math.log(len(WORDPIECE)))
    spread = [token["entropy"] for token in result["tokens"][1:-1]]
    assert max(spread) - min(spread) > 0.01


@pytest.mark.parametrize("masked", [[], [3, 5]])
def test_each_token_is_hidden_in_addition_to_those_that_are_masked(masked: list[int]) -> None:
    result = look(masked=masked)
    row = row_of(result)
    visible = row.clone()
    visible[0, masked] = WORDPIECE.mask_token_id
    before = log_probabilities(visible)[0]
    for token in result["tokens"][1:-1]:
        place = token["position"]
        copy = visible.clone()
        copy[0, place] = WORDPIECE.mask_token_id
        logs = log_probabilities(copy)[0, place]
        assert token["masked"] is (place in masked)
        assert token["entropy"] == pytest.approx(float(entropy(before[place])), abs=1e-4)
        assert token["entropy_masked"] == pytest.approx(float(entropy(logs)), abs=1e-4)
        assert token["surprisal"] == pytest.approx(-float(logs[token["id"]]), abs=1e-4)


def test_top_predictions_are_the_likeliest_with_their_probabilities() -> None:
    result = look(top=3, masked=[4])
    row = row_of(result)
    row[0, 4] = WORDPIECE.mask_token_id
    logs = log_probabilities(row)[0]
    for token in result["tokens"][1:-1]:
        best = logs[token["position"]].exp().topk(3)
        assert [one["id"] for one in token["top"]] == best.indices.tolist()
        shares = [one["probability"] for one in token["top"]]
        assert shares == pytest.approx(best.values.tolist(), abs=1e-5)
        names = WORDPIECE.convert_ids_to_tokens(best.indices.tolist())
        assert [one["token"] for one in token["top"]] == names
    assert result["tokens"][4]["top"] == result["tokens"][4]["top_masked"]
    assert result["tokens"][5]["top"] != result["tokens"][5]["top_masked"]
    assert result["tokens"][0]["top"] == []


def test_the_frame_has_no_numbers_and_the_result_is_json() -> None:
    result = look(presets=["random"])
    for token in (result["tokens"][0], result["tokens"][-1]):
        assert token["special"]
        assert [token[key] for key in ("entropy", "entropy_masked", "surprisal")] == [None] * 3
    assert json.loads(json.dumps(result, allow_nan=False)) == result


RESOLVED = {name: Masking(preset=name).resolved() for name in MASKING_PRESETS}
SCORED = [name for name, masking in RESOLVED.items() if masking.score != "uniform"]
UNITS = [name for name, masking in RESOLVED.items() if masking.unit != "token"]
SCHEDULED = [name for name, masking in RESOLVED.items() if not isinstance(masking.rate, float)]


def direct_scores(masking: Masking, row: Tensor) -> Tensor | None:
    """[1, T] as the masking's definition has it."""
    model, special = SparseMaskedLM(SHARP), WORDPIECE.all_special_ids
    if masking.score == "uniform":
        return None
    asked: Any = masking.score
    if asked in BROUGHT:
        return BROUGHT[asked](row)
    if masking.view == "visible":
        return visible_scores(model, row, score=asked)
    ids = torch.tensor([0])
    return masked_scores(model, WORDPIECE.mask_token_id, special, row, ids, score=asked)


def word_starts(row: Tensor) -> Tensor:
    """[1, T] bool, by the spelling of the pieces."""
    spelt = WORDPIECE.convert_ids_to_tokens(row[0].tolist())
    return torch.tensor([[not token.startswith("##") for token in spelt]])


@pytest.mark.parametrize("name", MASKING_PRESETS)
@pytest.mark.parametrize("seed", [0, 7])
def test_positions_are_those_that_the_masker_selects(name: str, seed: int) -> None:
    entry = masks(name, seed=seed, rate=0.3)
    row = torch.tensor([[token["id"] for token in entry["tokens"]]])
    masker = Masker({"preset": name, "rate": 0.3}, WORDPIECE, seed)
    scores = direct_scores(masker.masking, row)
    selected = masker.positions(row, torch.tensor([0]), 0, scores, words=word_starts(row))
    assert entry["positions"] == selected[0].nonzero().flatten().tolist()
    assert len(entry["positions"]) == round(0.3 * (row.shape[1] - 2))
    assert (entry["rate"], entry["unit"]) == (0.3, masker.masking.unit)
    assert entry["description"] == MASKING_PRESETS[name].description


def test_each_preset_but_random_has_something_that_sets_it_apart() -> None:
    assert {*SCORED, *UNITS, *SCHEDULED} == set(MASKING_PRESETS) - {"random"}


@pytest.mark.parametrize("name", SCORED)
def test_a_scored_preset_is_far_from_uniform_masks(name: str) -> None:
    entry, uniform = masks(name, rate=0.3), masks("random", rate=0.3)
    pairs = zip(entry["probabilities"], uniform["probabilities"], strict=True)
    # Ten times the largest standard error of a probability.
    assert max(abs(a - b) for a, b in pairs) > 0.16
    assert sum(entry["probabilities"]) == pytest.approx(len(entry["positions"]))


@pytest.mark.parametrize("score", ["entropy", "surprisal"])
@pytest.mark.parametrize("view", ["visible", "masked"])
def test_entropy_and_surprisal_are_those_of_either_view(score: str, view: Any) -> None:
    parts = Masking(score=score, view=view, source="self-ema", select="top").resolved()
    row = torch.tensor(WORDPIECE(PIECES)["input_ids"])
    scores = PreviewScores(SparseMaskedLM(SHARP), WORDPIECE, [row], {})
    (entry,) = preset_entries(WORDPIECE, [Row(row)], {"random": parts}, scores)
    direct = direct_scores(parts, row[None])
    assert direct is not None
    count = round(0.15 * (len(row) - 2))
    assert set(entry["positions"]) == {i + 1 for i in direct[0, 1:-1].topk(count).indices.tolist()}


def words_of(tokens: list[dict[str, Any]], text: str) -> list[set[int]]:
    """The positions of each word's tokens: letters that nothing else divides, or one sign."""
    spans = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    return [
        {t["position"] for t in tokens if t["start"] < end and t["end"] > start}
        for start, end in spans
    ]


def cut_words(entry: dict[str, Any], text: str) -> int:
    chosen = set(entry["positions"])
    return sum(0 < len(word & chosen) < len(word) for word in words_of(entry["tokens"], text))


@pytest.mark.parametrize("name", UNITS)
def test_units_are_whole_words_but_for_the_last_one(name: str) -> None:
    cut = {
        one: [cut_words(masks(one, rate=0.3, seed=seed), PIECES) for seed in range(5)]
        for one in (name, "random")
    }
    assert max(cut[name]) <= 1
    assert min(cut["random"]) > 1
    entry = masks(name, rate=0.3)
    assert entry["method"] == "monte-carlo"
    assert 0 < entry["standard_error"] <= 0.016


@pytest.mark.parametrize("name", ["whole-word", "span"])
def test_words_are_those_of_the_text_for_any_tokenizer(name: str) -> None:
    # The types do not tell that the dash ends a word: its bytes could be letters.
    model, text = build(BYTE_LEVEL), "foxes\u2014jump over, naïve\u2014birds"
    result = preview(model, BYTE_LEVEL, text, [name], 0.4)
    tokens = result["tokens"]
    words = torch.ones(1, len(tokens), dtype=torch.bool)
    for match in re.finditer(r" ?\w+| ?[^\w\s]", text):
        start, end = match.span()
        inside = [t["position"] for t in tokens if t["start"] < end and t["end"] > start]
        words[0, inside[1:]] = False
    row, masker = row_of(result), Masker({"preset": name, "rate": 0.4}, BYTE_LEVEL, 0)
    assert 7 < int(words.sum()) < row.shape[1]
    for seed in range(5):
        masker.seed = seed
        expected = masker.positions(row, torch.tensor([0]), 0, words=words)[0]
        (entry,) = preview(model, BYTE_LEVEL, text, [name], 0.4, seed)["presets"]
        assert entry["positions"] == expected.nonzero().flatten().tolist()


def test_spans_are_of_neighbouring_words() -> None:
    def runs(name: str) -> int:
        """How many separate stretches of text are hidden, over a few seeds."""
        found = [masks(name, SENTENCE, rate=0.4, seed=seed)["positions"] for seed in range(10)]
        return sum(1 + sum(b > a + 1 for a, b in itertools.pairwise(one)) for one in found)

    assert runs("span") < 0.6 * runs("whole-word")


def test_probabilities_of_words_are_those_of_many_draws() -> None:
    entry = masks("whole-word", rate=0.3)
    row = torch.tensor([[token["id"] for token in entry["tokens"]]])
    draws = 4000
    masker = Masker({"preset": "whole-word", "rate": 0.3}, WORDPIECE, seed=99)
    words = word_starts(row).expand(draws, -1)
    seen = masker.positions(row.expand(draws, -1), torch.arange(draws), 0, words=words)
    error = (0.25 / 1000 + 0.25 / draws) ** 0.5
    assert entry["probabilities"] == pytest.approx(seen.double().mean(0).tolist(), abs=5 * error)


@pytest.mark.parametrize("name", SCHEDULED)
@pytest.mark.parametrize("progress", [0, 0.5, 1.0])
def test_the_rate_is_that_of_the_share_of_the_run(name: str, progress: float) -> None:
    entry = masks(name, progress=progress)
    scheduled: Any = RESOLVED[name].rate
    assert entry["rate"] == rate_at(scheduled, progress)
    count = len(entry["tokens"]) - 2
    assert len(entry["positions"]) == max(1, round(entry["rate"] * count))
    assert sum(entry["probabilities"]) == pytest.approx(len(entry["positions"]))
    assert len(masks("random")["positions"]) == round(0.15 * count)


def test_rates_begin_where_the_run_does_and_a_given_rate_does_not_change() -> None:
    assert masks("rate-decay")["rate"] == 0.30
    assert masks("rate-decay", progress=0.5)["rate"] == pytest.approx(0.225)
    assert masks("time-variant", progress=1.0)["rate"] == pytest.approx(0.02)
    assert masks("rate-decay", progress=0.5, rate=0.4)["rate"] == 0.4
    assert look(progress=0.5)["progress"] == 0.5
    assert look()["progress"] == 0.0


def test_hard_selections_are_certain_and_uniform_ones_are_k_of_n() -> None:
    hard, uniform = look(presets=["self-entropy-high", "random"], rate=0.25)["presets"]
    chosen = [i for i, p in enumerate(hard["probabilities"]) if p == 1.0]
    assert chosen == hard["positions"]
    assert set(hard["probabilities"]) == {0.0, 1.0}
    n = len(uniform["probabilities"]) - 2
    k = round(0.25 * n)
    assert uniform["probabilities"] == pytest.approx([0.0, *[k / n] * n, 0.0])
    for entry in (hard, uniform):
        assert (entry["method"], entry["standard_error"]) == ("exact", 0.0)


def test_equal_scores_leave_a_hard_selection_to_chance() -> None:
    flat = {"frequency": FrequencyScore(torch.ones(len(WORDPIECE)))}
    row = row_of(look())[0]
    masking = Masking(preset="frequency", select="top").resolved()
    scores = PreviewScores(SparseMaskedLM(MODEL), WORDPIECE, [row], flat)
    (entry,) = preset_entries(WORDPIECE, [Row(row)], {"frequency": masking}, scores)
    n = len(row) - 2
    share = round(0.15 * n) / n
    assert entry["method"] == "monte-carlo"
    assert entry["probabilities"][1:-1] == pytest.approx([share] * n, abs=0.06)


def test_sampling_probabilities_add_up_to_k_and_meet_the_observed_frequency() -> None:
    # Counts that span six powers of ten give weights that differ by far more than the errors.
    name, rate = "frequency", 0.3
    counts = FrequencyScore(10 ** torch.linspace(1, 7, len(WORDPIECE)))
    result = look(presets=[name], rate=rate, scores={"frequency": counts})
    (entry,) = result["presets"]
    assert entry["method"] == "monte-carlo"
    assert sum(entry["probabilities"]) == pytest.approx(len(entry["positions"]))
    assert entry["probabilities"][0] == entry["probabilities"][-1] == 0.0
    assert 0 < entry["standard_error"] <= 0.016
    row = row_of(result)
    scores = counts(row)
    draws = 4000
    masker = Masker({"preset": name, "rate": rate}, WORDPIECE, seed=99)
    ids = torch.arange(draws)
    seen = masker.positions(row.expand(draws, -1), ids, 0, scores.expand(draws, -1))
    observed = seen.double().mean(0)
    # Five standard errors of the difference of the two estimates.
    error = (0.25 / 1000 + 0.25 / draws) ** 0.5
    assert entry["probabilities"] == pytest.approx(observed.tolist(), abs=5 * error)
    assert max(entry["probabilities"]) - min(entry["probabilities"][1:-1]) > 0.3


def test_a_preset_whose_score_is_missing_says_what_it_needs_beside_the_others() -> None:
    names = ["frequency", "pmi", "amlm", "time-variant", "random"]
    entries = {entry["preset"]: entry for entry in look(presets=names)["presets"]}
    assert "needs how often each token occurs in a corpus" in entries["frequency"]["error"]
    assert "needs how often tokens stand together in a corpus" in entries["pmi"]["error"]
    for name in ("amlm", "time-variant"):
        assert f"the preset '{name}' needs weights of token types" in entries[name]["error"]
        assert "preview a run with the preset amlm" in entries[name]["error"]
    assert entries["random"]["positions"]
    assert all("positions" not in entries[name] for name in names[:-1])
    for entry in look(presets=names, scores=BROUGHT)["presets"]:
        assert entry["positions"]


def test_agreement_of_selections_without_chance_is_their_overlap() -> None:
    names = ["self-entropy-high", "amlm", "self-entropy-low", "teacher-entropy-high"]
    result = look(presets=names, rate=0.2)
    agreement = result["agreement"]
    assert agreement["presets"] == [n for n in names if n != "amlm"]
    assert agreement["overlap"] == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    maskable = sum(not token["special"] for token in result["tokens"])
    rate = round(0.2 * maskable) / maskable
    assert np.allclose(agreement["chance"], rate)


def test_agreement_is_the_expected_overlap_beside_what_chance_gives() -> None:
    text = " ".join([SENTENCE] * 8)  # several windows
    names = ["random", "self-entropy-high", "self-entropy-sample", "self-entropy-low", "whole-word"]
    result = look(text, presets=names)
    p = {entry["preset"]: np.array(entry["probabilities"]) for entry in result["presets"]}
    tokens = result["tokens"]
    windows = [
        [t["position"] for t in tokens if t["window"] == number and not t["special"]]
        for number in range(tokens[-1]["window"] + 1)
    ]
    assert len(windows) > 1
    generator = np.random.default_rng(0)
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            k = p[one].sum()
            assert k == pytest.approx(p[other].sum())
            shared = sum(min(a, b) for a, b in zip(p[one], p[other], strict=True))
            assert result["agreement"]["overlap"][i][j] == pytest.approx(shared / k)
            draws = []
            for _ in range(200):
                shuffled = p[other].copy()
                for window in windows:
                    shuffled[window] = generator.permutation(shuffled[window])
                draws.append(np.minimum(p[one], shuffled).sum() / k)
            error = np.std(draws) / len(draws) ** 0.5
            assert abs(result["agreement"]["chance"][i][j] - np.mean(draws)) < 5 * error + 1e-9
    by_name = dict(zip(names, result["agreement"]["overlap"][0], strict=True))
    # Uniform probabilities have nothing to agree about with a hard selection beyond the rate.
    assert by_name["self-entropy-high"] == pytest.approx(p["random"].max(), rel=0.1)


def test_the_overlap_with_a_hard_selection_is_what_drawn_masks_share() -> None:
    names = ["self-entropy-high", "self-entropy-sample", "random"]
    shares: dict[str, list[float]] = {name: [] for name in names[1:]}
    for seed in range(100):
        result = look(presets=names, rate=0.25, seed=seed)
        chosen = {e["preset"]: set(e["positions"]) for e in result["presets"]}
        high = chosen[names[0]]
        for name in names[1:]:
            shares[name].append(len(high & chosen[name]) / len(high))
    for number, name in enumerate(names[1:], 1):
        error = float(np.std(shares[name])) / len(shares[name]) ** 0.5 + 0.005
        assert abs(result["agreement"]["overlap"][0][number] - np.mean(shares[name])) < 4 * error


@pytest.mark.parametrize(("select", "explore"), [("sample", 0.0), ("sample", 0.4), ("top", 0.3)])
def test_probabilities_of_a_preset_are_those_of_an_independent_simulation(
    select: str, explore: float
) -> None:
    ids = torch.tensor(WORDPIECE(SENTENCE)["input_ids"])
    generator = np.random.default_rng(1)
    values = generator.normal(size=len(ids)) * 2
    parts = {"preset": "self-entropy-sample", "select": select, "explore": explore, "rate": 0.3}
    masking = Masking.model_validate(parts).resolved()
    masker = Masker(masking, WORDPIECE, 0)
    maskable = masker.maskable(ids[None])[0].numpy()
    score = torch.from_numpy(values)[None]
    entry = preview_masks._masks(masker, [Row(ids)], [score], 0.0)
    n, draws = int(maskable.sum()), 20_000
    k = max(1, round(0.3 * n))
    counts = np.zeros(len(ids))
    for _ in range(draws):
        # The marginal law by hand: successive draws with weights exp(score / temperature), or
        # the highest; then uniform ones from what is left.
        explored = int(np.floor(k * explore + generator.uniform()))
        keys = values / float(masking.temperature or 1.0)
        if select == "sample":
            keys = keys + generator.gumbel(size=len(ids))
        order = np.argsort(np.where(maskable, -keys, np.inf))
        rest = order[k - explored : n]
        chosen = [*order[: k - explored], *generator.choice(rest, explored, replace=False)]
        counts[chosen] += 1
    error = np.sqrt(0.25 / preview_masks.DRAWS + 0.25 / draws)
    assert np.abs(np.array(entry["probabilities"]) - counts / draws).max() < 4.5 * error
    assert sum(entry["probabilities"]) == pytest.approx(k)


@pytest.mark.parametrize(("text", "count"), [("fox \ud83d", 1), ("\udc00 fox \ud83d", 2)])
def test_what_is_not_unicode_is_replaced_and_a_warning_says_so(text: str, count: int) -> None:
    result = look(text)
    plain = look(re.sub("[\ud83d\udc00]", "\ufffd", text))
    assert result["tokens"] == plain["tokens"]
    [warning] = [one for one in result["warnings"] if "U+FFFD" in one]
    assert warning.startswith(f"{count} character")
    assert not any("U+FFFD" in one for one in plain["warnings"])
    assert "U+FFFD" not in str(look("fox \ud83d\ude00")["warnings"])


def test_a_long_text_is_read_in_windows_and_a_warning_says_so() -> None:
    text = " ".join([SENTENCE] * 8)
    result = look(text, presets=["random"], masked=[3])
    count = len(WORDPIECE(text, add_special_tokens=False)["input_ids"])
    tokens = result["tokens"]
    windows = [
        len([t for t in tokens if t["window"] == w]) for w in range(tokens[-1]["window"] + 1)
    ]
    assert sum(windows) - 2 * len(windows) == count
    assert max(windows) <= POSITIONS
    assert max(windows) - min(windows) <= 1
    assert f"{count:,} tokens" in result["warnings"][0]
    assert [t["position"] for t in tokens if t["masked"]] == [3]
    exact = entropy(log_probabilities(row_of(result, 1)))[0]
    expected = [float(value) for value in exact[1:-1]]
    got = [t["entropy"] for t in tokens if t["window"] == 1][1:-1]
    assert got == pytest.approx(expected, abs=1e-4)
    masker = Masker("random", WORDPIECE, 0)
    positions, first = [], 0
    for number in range(len(windows)):
        row = row_of(result, number)
        chosen = masker.positions(row, torch.tensor([number]), 0)[0].nonzero().flatten()
        positions += [first + i for i in chosen.tolist()]
        first += row.shape[1]
    assert result["presets"][0]["positions"] == positions


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"text": ""}, "text: is empty"),
        ({"text": " \n\t "}, "text: has nothing but white space"),
        ({"text": "\x01"}, "text: the tokenizer finds no token"),
        ({"text": "fox " * (MOST_TOKENS + 1)}, "at most 4,096 are allowed"),
        ({"masked": [99]}, "masked: there is no position 99; this text has 1 to"),
        ({"masked": [-1]}, "masked: there is no position -1"),
        ({"masked": [0]}, "masked: position 0 is [CLS]"),
        ({"masked": ["3"]}, "masked: '3' is not a position"),
        ({"rate": 0.0}, "rate: must be greater than 0"),
        ({"rate": float("nan")}, "rate: must be greater than 0"),
        ({"progress": -0.1}, "progress: must be between 0 and 1, not -0.1"),
        ({"progress": float("nan")}, "progress: must be between 0 and 1, not nan"),
        ({"progress": "half"}, "progress: must be between 0 and 1, not 'half'"),
        ({"seed": -1}, "seed: -1 is not"),
        ({"top": 51}, "top: 51 is not"),
        ({"presets": ["randm"]}, "no masking preset 'randm' (did you mean 'random'?)"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_starts_with_its_name(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        look(**options)
    assert sentence in caught.value.message


def test_a_damaged_model_is_refused() -> None:
    broken = build(WORDPIECE)
    with torch.no_grad():
        broken.bert.embeddings.word_embeddings.weight.fill_(math.nan)
    with pytest.raises(InputError, match="not finite"):
        preview(broken, WORDPIECE, SENTENCE)


def test_dropout_is_off_and_the_model_stays_in_its_mode() -> None:
    MODEL.train()
    try:
        first, second = look(), look()
        assert MODEL.training
    finally:
        MODEL.eval()
    assert first == second


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "model"
    save_pretrained(MODEL, WORDPIECE, place)
    return place


def test_models_are_kept_by_reference_until_their_files_change(
    folder: Path, tmp_path: Path
) -> None:
    places = [tmp_path / name for name in "abc"]
    for place in places:
        shutil.copytree(folder, place)
    previewer = Previewer(most=2)
    first = previewer.preview(str(places[0]), SENTENCE, presets=["random"])
    assert first == look(presets=["random"])
    kept = next(iter(previewer._loaded.values())).model
    previewer.preview({"path": str(places[1])}, SENTENCE)
    previewer.preview(str(places[0]), SENTENCE)
    assert any(one.model is kept for one in previewer._loaded.values())
    previewer.preview(str(places[2]), SENTENCE)
    assert [json.loads(key)["path"] for key in previewer._loaded] == [
        str(places[i]) for i in (0, 2)
    ]
    save_pretrained(build(WORDPIECE, seed=1), WORDPIECE, places[0])
    assert previewer.preview(str(places[0]), SENTENCE) != first
    assert len(previewer._loaded) == 2


def test_a_reference_is_a_run_a_folder_or_a_name_on_the_hub(folder: Path, home: Path) -> None:
    assert parse_reference("hub:a/b").hub == "a/b"
    assert parse_reference(str(folder)).path == str(folder)
    run = home / "runs" / "run_1"
    run.mkdir(parents=True)
    (run / "spec.yaml").write_text("name: a\n")
    assert parse_reference("run_1").run == "run_1"
    assert parse_reference(str(run)).run == str(run)
    for wrong in ("", "hub:", "nothing"):
        with pytest.raises(InputError, match="model: there is no run"):
            parse_reference(wrong)
    with pytest.raises(InputError, match="model: "):
        Previewer().preview({"pth": "x"}, SENTENCE)


@pytest.mark.slow
def test_the_preview_of_a_run_knows_its_corpus(home: Path, tmp_path: Path) -> None:
    from entromask.pipeline import run
    from entromask.text.corpus import open_corpus
    from entromask.text.packing import pack
    from entromask.text.tokenizer import load_tokenizer

    given = small_spec(write_corpus(tmp_path / "text.txt"))
    given["pretraining"]["budget"] = {"steps": 2}
    place = run(given, output=tmp_path / "run").folder
    text, names = "The object is returned by the function.", ["frequency", "pmi"]
    result = Previewer().preview(str(place), text, presets=names, rate=0.3)
    tokenizer = load_tokenizer(str(place / "model"))
    corpus = pack(open_corpus(RunSpec.parse(given).resolved().corpus), tokenizer, 32, None)
    scores: dict[str, RowScore] = {
        "frequency": FrequencyScore(corpus.counts),
        "pmi": PMIScore.of_rows(corpus.train, corpus.counts, tokenizer.all_special_ids),
    }
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), hidden_size=12))
    expected = preview(model, tokenizer, text, names, 0.3, scores=scores)["presets"]
    assert result["presets"] == expected
    assert all(max(entry["probabilities"]) > 0.5 for entry in expected)
    (home / "cache" / "packed").rename(home / "cache" / "gone")
    for entry in Previewer().preview(str(place), text, presets=names)["presets"]:
        assert "still in the cache" in entry["error"]


def set_weights(checkpoint: Path, weights: Tensor) -> None:
    file = checkpoint / "scores.safetensors"
    save_file(load_file(file) | {"weights": weights}, file)


@pytest.mark.slow
def test_the_preview_of_a_run_with_amlm_uses_its_weights(home: Path, tmp_path: Path) -> None:
    from entromask.pipeline import run

    spec = small_spec(write_corpus(tmp_path / "text.txt"), masking={"preset": "amlm"})
    spec["pretraining"]["budget"] = {"steps": 10}
    steps: list[int] = []

    def on_event(event: dict[str, Any]) -> None:
        # Nothing is learned in ten steps: weights of the test's own, others in each checkpoint.
        if event["type"] == "checkpoint":
            at = tmp_path / "run" / "checkpoints" / f"step-{event['step']}"
            types = len(load_file(at / "scores.safetensors")["weights"])
            rising = torch.logspace(-3, 0, types, dtype=torch.float64)
            set_weights(at, rising if event["step"] == 10 else rising.flip(0))
            steps.append(event["step"])
            seen[event["step"]] = entries(f"{tmp_path / 'run'}@{event['step']}")

    def entries(reference: str) -> list[dict[str, Any]]:
        found = previewer.preview(reference, SENTENCE, presets=names, rate=0.3)["presets"]
        return list(found)

    previewer, seen, names = Previewer(), dict[int, list[dict[str, Any]]](), ["amlm", "random"]
    place = run(spec, output=tmp_path / "run", on_event=on_event).folder
    assert steps == [5, 10]
    assert entries(str(place)) == seen[10], "the finished model has the weights of its last step"
    assert seen[5][0]["probabilities"] != seen[10][0]["probabilities"]
    for amlm, uniform in seen.values():
        pairs = zip(amlm["probabilities"], uniform["probabilities"], strict=True)
        assert max(abs(a - b) for a, b in pairs) > 0.3
    (entry,) = previewer.preview(str(place), SENTENCE, presets=["time-variant"])["presets"]
    assert entry["positions"], "it has the same weights"
    (place / "checkpoints" / "step-10" / "scores.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"scores\.safetensors is damaged"):
        Previewer().preview(str(place), SENTENCE)
    shutil.rmtree(place / "checkpoints")
    (entry,) = Previewer().preview(str(place), SENTENCE, presets=["amlm"])["presets"]
    assert "whose last checkpoint is still there" in entry["error"]


@pytest.mark.parametrize(
    ("budget", "share"),
    [
        ({"steps": 200}, 0.25),
        ({"steps": 40}, 1.0),
        ({"epochs": 2.0}, 0.5),  # of 400 rows in batches of 8
        ({"tokens": 51_200}, 0.5),
        ({"minutes": 2.0}, 0.1),
    ],
)
def test_a_checkpoint_knows_its_share_of_the_run(
    budget: dict[str, float], share: float, home: Path
) -> None:
    pretraining = {"budget": budget, "batch_size": 8, "sequence_length": 64}
    run = home / "runs" / "run_1"
    (run / "checkpoints" / "step-50").mkdir(parents=True)
    (run / "spec.yaml").write_text(json.dumps({"pretraining": pretraining}))
    (run / "checkpoints" / "step-50" / "state.json").write_text(json.dumps({"seconds": 12.0}))
    checkpoint = ModelReference(run="run_1", checkpoint=50)
    assert progress_of(checkpoint) == 0.0, "nobody knows how many rows there are"
    (run / "environment.json").write_text(json.dumps({"rows": {"train": 400}}))
    assert progress_of(checkpoint) == pytest.approx(share)
    assert progress_of(ModelReference(run="run_1")) == 0.0
    assert progress_of(ModelReference(path="x")) == 0.0


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, Any]]]:
    """A finished run, and the previews of its checkpoints as long as it was still pretraining."""
    from entromask.pipeline import run

    place = tmp_path_factory.mktemp("looked-at")
    spec = small_spec(write_corpus(place / "text.txt"), model={"size": "tiny", "dropout": 0.1})
    spec["pretraining"] |= {"budget": {"steps": 20}, "learning_rate": 1e-2}
    previewer, seen = Previewer(), {}

    def on_event(event: dict[str, Any]) -> None:
        if event["type"] == "checkpoint":
            assert not (place / "run" / "model").exists()
            step = event["step"]
            reference = {"run": str(place / "run"), "checkpoint": step}
            seen[step] = previewer.preview(reference, SENTENCE, presets=["frequency"])

    run(spec, output=place / "run", on_event=on_event)
    run(spec, output=place / "not-looked-at")
    return place, seen


@pytest.mark.slow
def test_a_checkpoint_can_be_looked_at_while_its_run_is_pretraining(
    looked_at: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    place, seen = looked_at
    assert list(seen) == [5, 10, 15, 20]
    sums = [sum(token["entropy"] or 0 for token in one["tokens"]) for one in seen.values()]
    assert len(set(sums)) == 4, "each step has a model of its own"
    assert [one["progress"] for one in seen.values()] == [0.25, 0.5, 0.75, 1.0]
    last = Previewer().preview(str(place / "run"), SENTENCE, presets=["frequency"])
    assert seen[20] == last | {"progress": 1.0}, "the last checkpoint is the finished model"
    assert last["presets"][0]["positions"], "the corpus of the run is known"


def test_a_checkpoint_shows_the_rate_of_its_own_share_of_the_run(
    looked_at: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    run, previewer = looked_at[0] / "run", Previewer()

    def rate(reference: str, **given: Any) -> Any:
        found = previewer.preview(reference, SENTENCE, presets=["rate-decay"], **given)
        return found["presets"][0]["rate"]

    assert rate(f"{run}@20") == 0.15
    assert rate(str(run)) == 0.30
    assert rate(f"{run}@20", progress=0.0) == 0.30
    assert rate(str(run), progress=0.5) == pytest.approx(0.225)


def test_a_look_at_a_checkpoint_changes_nothing_in_its_run(
    looked_at: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    place, _ = looked_at
    assert weights(place / "run") == weights(place / "not-looked-at")


def test_a_checkpoint_that_was_removed_is_refused_even_where_it_was_loaded(
    looked_at: tuple[Path, dict[int, dict[str, Any]]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(looked_at[0] / "run", run)
    previewer = Previewer()
    previewer.preview(f"{run}@20", SENTENCE)
    (kept,) = previewer._loaded.values()
    previewer.preview({"run": str(run), "checkpoint": 20}, SENTENCE)
    assert next(iter(previewer._loaded.values())) is kept
    shutil.rmtree(run / "checkpoints" / "step-20")
    with pytest.raises(InputError, match="no checkpoint at step 20; it has") as caught:
        previewer.preview({"run": str(run), "checkpoint": 20}, SENTENCE)
    assert "the last two and the best" in str(caught.value.hint)


def test_a_checkpoint_that_goes_while_it_is_loaded_is_said_to_be_gone(
    looked_at: tuple[Path, dict[int, dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from entromask.analysis import previewer

    run = tmp_path / "run"
    shutil.copytree(looked_at[0] / "run", run)

    def prune(folder: str) -> tuple[tuple[str, int], ...]:
        shutil.rmtree(folder)
        return ()

    monkeypatch.setattr(previewer, "_file_times", prune)
    with pytest.raises(InputError, match="no checkpoint at step 20; it has"):
        Previewer().preview({"run": str(run), "checkpoint": 20}, SENTENCE)


def test_a_word_names_a_checkpoint_by_its_run_and_step(home: Path, folder: Path) -> None:
    for name in ("run_1", "odd@name"):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "spec.yaml").write_text("name: a\n")
    one = parse_reference("run_1@500")
    assert (one.run, one.checkpoint) == ("run_1", 500)
    whole = parse_reference("odd@name")
    assert (whole.run, whole.checkpoint) == ("odd@name", None)
    both = parse_reference("odd@name@0")
    assert (both.run, both.checkpoint) == ("odd@name", 0)
    for step in ("", "last", "-1", "5.0"):
        with pytest.raises(InputError, match=f"model: '{step}' is not the step") as caught:
            parse_reference(f"run_1@{step}")
        assert caught.value.hint == "e.g. run_1@500"
    for wrong in ("run_2@500", f"{folder}@500", "@5"):
        with pytest.raises(InputError, match="model: there is no run") as caught:
            parse_reference(wrong)
        assert "RUN@STEP" in str(caught.value.hint)


@pytest.mark.slow
def test_the_command_looks_at_a_checkpoint(
    looked_at: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    place, seen = looked_at
    done = entromask("preview", SENTENCE, "--model", f"{place / 'run'}@20", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == seen[20]["tokens"]
    done = entromask("preview", SENTENCE, "--model", f"{place / 'run'}@7")
    assert done.returncode == 2
    assert "has no checkpoint at step 7; it has those at step" in done.stderr


def test_the_command_prints_tokens_and_brackets_without_colour(folder: Path) -> None:
    words = ["--preset", "self-entropy-high", "--preset", "amlm", "--masked", "2"]
    done = entromask("preview", SENTENCE + " \x1b[2J", "--model", str(folder), *words)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    result = look(SENTENCE + " \x1b[2J", presets=["self-entropy-high"], masked=[2])
    assert "\x1b" not in text
    chosen = result["presets"][0]["positions"]
    line = next(one for one in text.splitlines() if one.startswith("self-entropy-high"))
    for position in chosen:
        token = result["tokens"][position]
        assert f"[{SENTENCE[token['start'] : token['end']]}]" in line
    assert line.count("[") - 1 == len(chosen)  # one more in the text itself
    assert "quick (hidden)" in text
    assert "amlm  the preset 'amlm' needs weights of token types" in text


def test_the_command_shows_the_masks_at_a_share_of_the_run(folder: Path) -> None:
    words = ["--preset", "rate-decay", "--preset", "span", "--progress", "0.5"]
    done = entromask("preview", SENTENCE, "--model", str(folder), *words)
    assert done.returncode == 0, done.stderr
    count = len(WORDPIECE(SENTENCE, add_special_tokens=False)["input_ids"])
    lines = done.stdout.splitlines()
    decay, span = (next(one for one in lines if one.startswith(n)) for n in ("rate-decay", "span"))
    assert decay.startswith(f"rate-decay ({round(0.225 * count)} at 0.225): ")
    assert span.startswith(f"span ({round(0.15 * count)} at 0.15): ")
    agreement = look(presets=["rate-decay", "span"], progress=0.5)["agreement"]
    overlap, chance = agreement["overlap"][1][0], agreement["chance"][1][0]
    last = next(one for one in lines if one.startswith("2 span"))
    assert last.split(maxsplit=2)[2].strip() == f"{overlap:.2f} ({chance:.2f})"
    assert any(one.startswith("overlap (chance)") for one in lines)


def test_the_command_reads_stdin_and_writes_json(folder: Path) -> None:
    text = TEXTS[0]
    done = entromask("preview", "-", "--model", str(folder), "--json", stdin=text.encode() + b"\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == look(text)["tokens"]
    done = entromask("preview", "-", "--model", str(folder), stdin=b"\xff")
    assert done.returncode == 2
    assert "error: the text on stdin is not UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--masked", "a"], "--masked 'a' is not a list of positions"),
        (["--masked", "99"], "masked: there is no position 99"),
        (["--rate", "2"], "rate: must be"),
    ],
)
def test_a_wrong_use_of_the_command_exits_2(folder: Path, words: list[str], sentence: str) -> None:
    done = entromask("preview", SENTENCE, "--model", str(folder), *words)
    assert done.returncode == 2
    assert sentence in done.stderr
