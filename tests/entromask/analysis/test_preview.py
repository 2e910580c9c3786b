"""Token previews: offsets, numbers against direct computations, masks as a run draws them."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from entromask.analysis.preview import MOST_TOKENS, preview
from entromask.analysis.previewer import Previewer, parse_reference
from entromask.errors import InputError
from entromask.masking import Masker
from entromask.masking.frequency import FrequencyScore
from entromask.masking.scoring import masked_entropy, visible_entropy
from entromask.modeling.architectures import save_pretrained
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.presets import MASKING_PRESETS
from entromask.text.wordpiece import train_wordpiece
from tests.entromask.runs import small_spec, weights, write_corpus

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
    return train_wordpiece(lambda: [*documents, *TEXTS[1:]], 300)


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


def look(text: str = SENTENCE, **options: Any) -> dict[str, Any]:
    return preview(MODEL, WORDPIECE, text, **options)


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


ABLE = [n for n, p in MASKING_PRESETS.items() if p.available and n != "frequency"]


@pytest.mark.parametrize("name", ABLE)
@pytest.mark.parametrize("seed", [0, 7])
def test_positions_are_those_that_the_masker_selects(name: str, seed: int) -> None:
    result = look(presets=[name], seed=seed, rate=0.3)
    (entry,) = result["presets"]
    row, ids = row_of(result), torch.tensor([0])
    model = SparseMaskedLM(MODEL)
    masker = Masker({"preset": name, "rate": 0.3}, WORDPIECE, seed)
    scores = None
    if masker.masking.score == "entropy":
        if masker.masking.view == "visible":
            scores = visible_entropy(model, row)
        else:
            special = WORDPIECE.all_special_ids
            scores = masked_entropy(model, WORDPIECE.mask_token_id, special, row, ids)
    expected = masker.positions(row, ids, 0, scores)[0].nonzero().flatten().tolist()
    assert entry["positions"] == expected
    assert len(expected) == round(0.3 * (row.shape[1] - 2))
    assert entry["rate"] == 0.3
    assert entry["description"] == MASKING_PRESETS[name].description


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
    flat = FrequencyScore(torch.ones(len(WORDPIECE)))
    from entromask.analysis.preview_masks import preset_entries
    from entromask.spec import Masking

    row = row_of(look())
    masking = Masking(preset="frequency", select="top").resolved()
    (entry,) = preset_entries(
        SparseMaskedLM(MODEL), WORDPIECE, [row[0]], {"frequency": masking}, 0, flat
    )
    n = row.shape[1] - 2
    share = round(0.15 * n) / n
    assert entry["method"] == "monte-carlo"
    assert entry["probabilities"][1:-1] == pytest.approx([share] * n, abs=0.06)


def test_sampling_probabilities_add_up_to_k_and_meet_the_observed_frequency() -> None:
    # Counts that span six powers of ten give weights that differ by far more than the errors.
    name, rate = "frequency", 0.3
    counts = FrequencyScore(10 ** torch.linspace(1, 7, len(WORDPIECE)))
    result = look(presets=[name], rate=rate, counts=counts)
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


def test_frequency_needs_counts_and_unavailable_presets_say_so_beside_the_others() -> None:
    names = ["frequency", "span", "random"]
    entries = {e["preset"]: e for e in look(presets=names)["presets"]}
    assert "needs how often each token occurs" in entries["frequency"]["error"]
    assert entries["span"]["error"] == "the preset 'span' is not available yet"
    assert entries["random"]["positions"]
    assert all("positions" not in entries[name] for name in ("frequency", "span"))
    counts = torch.arange(len(WORDPIECE)).double() + 100
    (entry,) = look(presets=["frequency"], counts=FrequencyScore(counts))["presets"]
    assert entry["positions"]


def test_agreement_is_the_jaccard_index_of_the_positions() -> None:
    names = ["self-entropy-high", "span", "self-entropy-low", "teacher-entropy-high"]
    result = look(presets=names, rate=0.2)
    agreement = result["agreement"]
    assert agreement["presets"] == [n for n in names if n != "span"]
    assert agreement["jaccard"] == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]


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
        ({"text": "\u200d"}, "text: the tokenizer finds no token"),
        ({"text": "a\ud800"}, "text: holds half a character"),
        ({"text": "fox " * (MOST_TOKENS + 1)}, "at most 4,096 are allowed"),
        ({"masked": [99]}, "masked: there is no position 99; this text has 1 to"),
        ({"masked": [-1]}, "masked: there is no position -1"),
        ({"masked": [0]}, "masked: position 0 is [CLS]"),
        ({"masked": ["3"]}, "masked: '3' is not a position"),
        ({"rate": 0.0}, "rate: must be greater than 0"),
        ({"rate": float("nan")}, "rate: must be greater than 0"),
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


def test_the_preview_of_a_run_knows_how_often_its_tokens_occur(home: Path, tmp_path: Path) -> None:
    from entromask.pipeline import run

    spec = small_spec(write_corpus(tmp_path / "text.txt"))
    spec["pretraining"]["budget"] = {"steps": 2}
    place = run(spec, output=tmp_path / "run").folder
    text = "The object is returned by the function."
    (entry,) = Previewer().preview(str(place), text, presets=["frequency"])["presets"]
    assert entry["positions"]
    (home / "cache" / "packed").rename(home / "cache" / "gone")
    (entry,) = Previewer().preview(str(place), text, presets=["frequency"])["presets"]
    assert "still in the cache" in entry["error"]


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


def test_a_checkpoint_can_be_looked_at_while_its_run_is_pretraining(
    looked_at: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    place, seen = looked_at
    assert list(seen) == [5, 10, 15, 20]
    sums = [sum(token["entropy"] or 0 for token in one["tokens"]) for one in seen.values()]
    assert len(set(sums)) == 4, "each step has a model of its own"
    last = Previewer().preview(str(place / "run"), SENTENCE, presets=["frequency"])
    assert seen[20] == last, "the last checkpoint is the finished model"
    assert last["presets"][0]["positions"], "the corpus of the run is known"


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


def test_the_command_looks_at_a_checkpoint(
    looked_at: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    place, seen = looked_at
    done = command(SENTENCE, "--model", f"{place / 'run'}@20", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == seen[20]["tokens"]
    done = command(SENTENCE, "--model", f"{place / 'run'}@7")
    assert done.returncode == 2
    assert "has no checkpoint at step 7; it has those at step" in done.stderr.decode()


def command(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = "from entromask.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "preview", *words], input=stdin, capture_output=True
    )


def test_the_command_prints_tokens_and_brackets_without_colour(folder: Path) -> None:
    words = ["--preset", "self-entropy-high", "--preset", "span", "--masked", "2"]
    done = command(SENTENCE + " \x1b[2J", "--model", str(folder), *words)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    result = look(SENTENCE + " \x1b[2J", presets=["self-entropy-high"], masked=[2])
    assert "\x1b" not in text
    chosen = result["presets"][0]["positions"]
    line = next(one for one in text.splitlines() if one.startswith("self-entropy-high"))
    for position in chosen:
        token = result["tokens"][position]
        assert f"[{SENTENCE[token['start'] : token['end']]}]" in line
    assert line.count("[") - 1 == len(chosen)  # one more in the text itself
    assert "quick (hidden)" in text
    assert "span  the preset 'span' is not available yet" in text


def test_the_command_reads_stdin_and_writes_json(folder: Path) -> None:
    text = TEXTS[0]
    done = command("-", "--model", str(folder), "--json", stdin=text.encode() + b"\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == look(text)["tokens"]
    done = command("-", "--model", str(folder), stdin=b"\xff")
    assert done.returncode == 2
    assert b"error: the text on stdin is not UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--masked", "a"], "--masked 'a' is not a list of positions"),
        (["--masked", "99"], "masked: there is no position 99"),
        (["--rate", "2"], "rate: must be"),
    ],
)
def test_a_wrong_use_of_the_command_exits_2(folder: Path, words: list[str], sentence: str) -> None:
    done = command(SENTENCE, "--model", str(folder), *words)
    assert done.returncode == 2
    assert sentence in done.stderr.decode()
