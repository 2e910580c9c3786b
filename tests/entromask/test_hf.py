"""The collator in the Hugging Face Trainer: masks as in Entromask's own loop."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerState,
    TrainingArguments,
)

import entromask
from entromask.errors import InputError
from entromask.hf import EntropyMaskingCollator, MaskingTrainer
from entromask.hf.scores import as_stored
from entromask.masking import Masker
from entromask.masking.frequency import FrequencyScore
from entromask.masking.pmi import PMIScore
from entromask.masking.scoring import visible_scores
from entromask.masking.store import ScoreStore
from entromask.modeling.architectures import build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.modeling.references import load_masked_lm
from entromask.spec import ModelReference, RunSpec
from entromask.text.tokenizer import load_tokenizer
from entromask.training.pretraining import Pretraining
from tests.entromask.runs import small_spec, weights, write_corpus
from tests.entromask.words import word_rows, word_tokenizer

TYPES, LENGTH = 300, 24
TOKENIZER = word_tokenizer(TYPES)
ROWS = word_rows(24, LENGTH, TYPES)
COUNTS = np.bincount(ROWS.flatten().numpy(), minlength=TYPES)
PAD, CLS, SEP, MASK = 0, 2, 3, 4
SHARE = {"preset": "self-entropy-sample", "warmup": 0.0}

# As `examples` gives them: a row ends with [SEP].
ROWS_FRAMED = torch.cat([ROWS[:, :-1], torch.full((len(ROWS), 1), SEP)], dim=1)

Example = dict[str, Any]


def model(seed: int = 0, dropout: float = 0.1, positions: int = 64) -> BertForMaskedLM:
    torch.manual_seed(seed)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=TYPES,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=positions,
            initializer_range=0.3,
            hidden_dropout_prob=dropout,
        )
    )


def modernbert() -> ModernBertForMaskedLM:
    torch.manual_seed(0)
    return ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=TYPES,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=64,
            initializer_range=0.3,
            **{f"{name}_token_id": PAD for name in ("pad", "cls", "sep", "bos", "eos")},
        )
    )


def examples(lengths: list[int] | None = None) -> list[Example]:
    """Rows of ROWS cut to the lengths, each with its number."""
    lengths = lengths or [LENGTH] * len(ROWS)
    return [
        {"input_ids": [*ROWS[i, : length - 1].tolist(), SEP], "row_id": i}
        for i, length in enumerate(lengths)
    ]


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """Of letters, each with and without the mark of a space before it."""
    special = ["<s>", "</s>", "<pad>", "<mask>", "<unk>"]
    types = [*special, *"abcd", *(f"Ġ{letter}" for letter in "abcd")]
    model = models.WordLevel({token: i for i, token in enumerate(types)}, unk_token="<unk>")
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(model),
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        mask_token="<mask>",
        unk_token="<unk>",
    )


class Data(Dataset):  # type: ignore[type-arg]
    def __init__(self, rows: list[Example]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Example:
        return self.rows[i]


class Recorded:
    """A collator that remembers its batches, with the weights of a model at that time."""

    def __init__(self, collator: EntropyMaskingCollator, model: torch.nn.Module) -> None:
        self.collator, self.model = collator, model
        self.batches: list[tuple[list[Example], dict[str, Tensor]]] = []
        self.weights: list[dict[str, Tensor]] = []

    def __call__(self, rows: list[Example]) -> dict[str, Tensor]:
        self.weights.append(copy.deepcopy(self.model.state_dict()))
        self.batches.append((rows, self.collator(rows)))
        return self.batches[-1][1]


def arguments(folder: Path, **parts: Any) -> TrainingArguments:
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 6,
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(**given | parts)


def trained(
    folder: Path,
    collator: EntropyMaskingCollator,
    rows: list[Example] | None = None,
    net: torch.nn.Module | None = None,
    **parts: Any,
) -> tuple[Trainer, Recorded]:
    net = net or model()
    recorded = Recorded(collator, net)
    trainer = Trainer(
        net,
        arguments(folder, **parts),
        data_collator=recorded,
        train_dataset=Data(rows or examples()),
        callbacks=[collator.callback],
    )
    trainer.train()
    return trainer, recorded


def direct(
    rows: list[Example],
    masking: Any,
    epoch: int,
    scores: Callable[[Tensor], Tensor] | None = None,
    **more: Any,
) -> tuple[Tensor, Tensor]:
    """The masker of Entromask's own loop on rows of one length."""
    tokens = torch.tensor([row["input_ids"] for row in rows])
    ids = torch.tensor([row["row_id"] for row in rows])
    of = None if scores is None else scores(tokens)
    masked: tuple[Tensor, Tensor] = Masker(masking, TOKENIZER)(tokens, ids, epoch, of, **more)
    return masked


def entropy(net: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """The visible entropy of rows by this model as it is now."""
    sparse = SparseMaskedLM(net)
    return lambda rows: visible_scores(sparse, rows)


def same(batch: dict[str, Tensor], masked: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(batch["input_ids"], masked[0]) and torch.equal(batch["labels"], masked[1])


# The same masks as the own loop.


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def corpus(place: Path) -> Path:
    return write_corpus(place / "corpus.txt")


@pytest.fixture(scope="module")
def finished(place: Path, corpus: Path) -> Path:
    """A finished random run: a teacher."""
    return entromask.run(small_spec(corpus), output=place / "finished").folder


@dataclass
class Call:
    """What a masker was asked and what it answered."""

    rows: Tensor
    ids: Tensor
    epoch: int
    words: Tensor | None
    masked: tuple[Tensor, Tensor]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The masks of the loop's steps, as it makes them."""
    found: list[Call] = []
    masker = Masker.__call__

    def recorded(self: Masker, rows: Tensor, ids: Tensor, epoch: int, *a: Any, **k: Any) -> Any:
        masked = masker(self, rows, ids, epoch, *a, **k)
        if self.seed == 0:  # that of the common validation is another
            found.append(Call(rows, ids, epoch, k.get("words"), masked))
        return masked

    monkeypatch.setattr(Masker, "__call__", recorded)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "masking",
    [
        {"preset": "teacher-masked-entropy-sample"},
        {"preset": "teacher-entropy-high"},
        {"preset": "teacher-entropy-low", "refresh": "fresh"},
        {"preset": "teacher-entropy-sample", "unit": "word"},
    ],
    ids=lambda masking: masking["preset"],
)
def test_a_teacher_gives_the_trainer_the_masks_of_the_own_loop(
    masking: dict[str, str],
    corpus: Path,
    finished: Path,
    calls: list[Call],
    tmp_path: Path,
) -> None:
    spec = small_spec(corpus, masking=masking, teacher={"path": str(finished / "model")})
    spec["corpus"]["max_tokens"] = 2600  # ten steps an epoch
    run = entromask.run(spec, output=tmp_path / "run").folder
    own, rows = {}, {}
    for call in calls:
        for i, number in enumerate(call.ids.tolist()):
            own[call.epoch, number] = call.masked[0][i], call.masked[1][i]
            rows[number] = {"input_ids": call.rows[i], "row_id": number}
            if call.words is not None:
                rows[number]["words"] = call.words[i]
    assert len({epoch for epoch, _ in own}) > 1
    tokenizer = load_tokenizer(str(run / "model"))
    collator = EntropyMaskingCollator(tokenizer, masking, teacher=finished / "model")
    net = load_masked_lm(ModelReference(path=str(run / "model"))).model
    _, recorded = trained(tmp_path / "hf", collator, list(rows.values()), net)
    compared = 0
    for step, (batch, masked) in enumerate(recorded.batches):
        epoch = step // (len(recorded.batches) // 2)
        for i, example in enumerate(batch):
            if (epoch, example["row_id"]) in own:
                inputs, labels = own[epoch, example["row_id"]]
                assert torch.equal(masked["input_ids"][i], inputs)
                assert torch.equal(masked["labels"][i], labels)
                compared += 1
    assert compared > 1.8 * len(rows)  # an epoch of the loop leaves out a last broken batch


def test_scores_are_rounded_as_a_store_rounds_them(tmp_path: Path) -> None:
    scores = torch.rand(50, LENGTH, generator=torch.Generator().manual_seed(0)) * 6
    store = ScoreStore(tmp_path / "store", {}, 50, LENGTH, highest=5.7)
    with store.filling():
        store.append(scores)
    assert torch.equal(as_stored(scores, 5.7), store.read(torch.arange(50)))


@pytest.mark.parametrize(
    "masking",
    [
        {"preset": "self-entropy-sample", "warmup": 0.3, "explore": 0.2},
        {"preset": "self-masked-entropy-high", "refresh": "fresh", "warmup": 0.3},
        {"preset": "self-entropy-sample", "score": "surprisal", "warmup": 0.0},
    ],
    ids=lambda masking: masking["preset"] + masking.get("score", ""),
)
def test_the_same_weights_give_the_masks_of_the_own_loop(
    masking: dict[str, Any],
    corpus: Path,
    calls: list[Call],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = small_spec(
        corpus, masking=masking, model={"architecture": "bert", "size": "tiny", "dropout": 0.1}
    )
    spec["corpus"]["max_tokens"] = 2600
    alone = entromask.run(spec, output=tmp_path / "alone").folder
    calls.clear()
    step, compared = Pretraining.step, []

    def asked(loop: Pretraining, rate: float) -> Tensor:
        """A step, and before it the collator with the model as it is."""
        batch, state = loop.batches[loop.progress.step], loop.progress
        collator = EntropyMaskingCollator(loop.tokenizer, masking, model=loop.model.model)
        collator.set_epoch(batch.epoch, loop.schedule.fraction(state.step, state.seconds))
        numbered = zip(batch.rows, batch.row_ids.tolist(), strict=True)
        mine = collator([{"input_ids": row, "row_id": number} for row, number in numbered])
        assert loop.model.model.training
        calls.clear()
        loss = step(loop, rate)
        compared.append((collator.strategy_is_on, same(mine, calls[0].masked)))
        return loss

    monkeypatch.setattr(Pretraining, "step", asked)
    run = entromask.run(spec, output=tmp_path / "run").folder
    assert all(equal for _, equal in compared)
    assert sum(on for on, _ in compared) >= 21
    assert weights(run) == weights(alone)  # asking leaves the training as it is


# In a Trainer.


def test_the_trainer_s_own_model_is_asked_as_it_changes(tmp_path: Path) -> None:
    masking = {"preset": "self-entropy-high", "warmup": 0.0}
    collator = EntropyMaskingCollator(TOKENIZER, masking)
    trainer, recorded = trained(tmp_path, collator, learning_rate=1e-2)
    assert trainer.state.global_step == len(recorded.batches) == 8
    then = model()
    for step, (batch, masked) in enumerate(recorded.batches):
        then.load_state_dict(recorded.weights[step])
        assert same(masked, direct(batch, masking, step // 4, entropy(then)))
    # The weights of the start would have given others.
    then.load_state_dict(recorded.weights[0])
    assert not same(masked, direct(batch, masking, 1, entropy(then)))


def test_a_teacher_stays_as_it_is_while_the_trainer_s_model_learns(tmp_path: Path) -> None:
    teacher = model(seed=1)
    before = copy.deepcopy(teacher.state_dict())
    masking = {"preset": "teacher-entropy-high", "refresh": "fresh"}
    trainer, recorded = trained(
        tmp_path, EntropyMaskingCollator(TOKENIZER, masking, teacher=teacher)
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    assert teacher.training
    assert not torch.equal(
        recorded.weights[0]["bert.embeddings.word_embeddings.weight"],
        trainer.model.state_dict()["bert.embeddings.word_embeddings.weight"],
    )
    for step, (batch, masked) in enumerate(recorded.batches):
        assert same(masked, direct(batch, masking, step // 4, entropy(teacher)))


@pytest.mark.parametrize("persistent", [False, True])
def test_masks_change_with_the_epoch_in_worker_processes_too(
    tmp_path: Path, persistent: bool
) -> None:
    collator = EntropyMaskingCollator(TOKENIZER, "frequency", counts=COUNTS)
    loader = DataLoader(
        Data(examples()),  # type: ignore[arg-type]
        batch_size=6,
        collate_fn=collator,
        num_workers=1,
        persistent_workers=persistent,
    )
    callback = collator.callback
    args = arguments(tmp_path, dataloader_num_workers=1)
    state = TrainerState(max_steps=8)
    callback.on_train_begin(args, state, None, model=model())
    for epoch in range(2):
        callback.on_epoch_begin(args, state, None, model=model())
        for batch, i in zip(loader, range(0, 24, 6), strict=True):
            frequency = FrequencyScore(COUNTS)
            assert same(batch, direct(examples()[i : i + 6], "frequency", epoch, frequency))


def test_the_trainer_s_workers_mask_as_the_main_process_does(tmp_path: Path) -> None:
    class Kept(Trainer):  # type: ignore[misc]
        batches: ClassVar[list[dict[str, Tensor]]] = []

        def training_step(self, net: Any, inputs: Any, *a: Any, **k: Any) -> Any:
            self.batches.append({name: tensor.clone() for name, tensor in inputs.items()})
            return super().training_step(net, inputs, *a, **k)

    collator = EntropyMaskingCollator(TOKENIZER, "frequency", counts=COUNTS)
    rows = [example | {"token_type_ids": [0] * LENGTH} for example in examples()]
    trainer = Kept(
        model(),
        arguments(tmp_path, dataloader_num_workers=1, dataloader_persistent_workers=True),
        data_collator=collator,
        train_dataset=Data(rows),
        callbacks=[collator.callback],
    )
    trainer.train()
    seen = [
        (epoch, text, label)
        for epoch in range(2)
        for batch in Kept.batches[4 * epoch : 4 * epoch + 4]
        for text, label in zip(batch["input_ids"], batch["labels"], strict=True)
    ]
    assert len(seen) == 48
    frequency = FrequencyScore(COUNTS)
    for epoch, text, label in seen:
        whole = torch.where(label >= 0, label, text)
        [number] = (whole == ROWS_FRAMED).all(1).nonzero().flatten().tolist()
        inputs, labels = direct([examples()[number]], "frequency", epoch, frequency)
        assert torch.equal(inputs[0], text)
        assert torch.equal(labels[0], label)


def test_a_resumed_training_goes_on_with_the_masks_of_its_epoch(tmp_path: Path) -> None:
    masking = {"preset": "frequency", "rate": {"schedule": "linear", "start": 0.3, "end": 0.1}}
    collator = EntropyMaskingCollator(TOKENIZER, masking, counts=COUNTS)
    _, whole = trained(tmp_path, collator, save_strategy="steps", save_steps=6)
    again = EntropyMaskingCollator(TOKENIZER, masking, counts=COUNTS)
    net = model()
    recorded = Recorded(again, net)
    trainer = Trainer(
        net,
        arguments(tmp_path),
        data_collator=recorded,
        train_dataset=Data(examples()),
        callbacks=[again.callback],
    )
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert trainer.state.global_step == 8
    batches = recorded.batches[-2:]  # of steps 6 and 7, in the second epoch
    frequency = FrequencyScore(COUNTS)
    for (batch, masked), (unbroken, _) in zip(batches, whole.batches[-2:], strict=True):
        assert [one["row_id"] for one in batch] == [one["row_id"] for one in unbroken]
        assert same(masked, direct(batch, masking, 1, frequency, progress=6 / 8))


def test_the_warm_up_lasts_for_a_share_of_the_run(tmp_path: Path) -> None:
    masking = {"preset": "frequency", "warmup": 0.5, "select": "top"}
    collator = EntropyMaskingCollator(TOKENIZER, masking, counts=COUNTS)
    _, recorded = trained(tmp_path, collator)
    frequency = FrequencyScore(COUNTS)
    uniform = [
        same(masked, direct(batch, masking, step // 4))
        for step, (batch, masked) in enumerate(recorded.batches)
    ]
    scored = [
        same(masked, direct(batch, masking, step // 4, frequency))
        for step, (batch, masked) in enumerate(recorded.batches)
    ]
    # Half of eight steps; the first batch of an epoch is not collated ahead of a step.
    assert uniform == [True] * 4 + [False] * 4
    assert scored == [False] * 4 + [True] * 4


# Under even counts the unigram loss is ln V = 5.7, and that of Zipf's rows soon 5.2 and less.
EVEN = np.full(TYPES, 1000)
UNTIL_PLATEAU = {
    "learning_rate": 3e-3,
    "lr_scheduler_type": "constant",
    "num_train_epochs": 12,
    "logging_steps": 4,
}


def test_the_warm_up_ends_when_the_plateau_is_left_and_stays_ended(tmp_path: Path) -> None:
    masking = {"preset": "self-entropy-high"}
    collator = EntropyMaskingCollator(TOKENIZER, masking, counts=EVEN)
    net = net_of("bert")
    more = {"save_strategy": "steps", "save_steps": 48, "save_total_limit": 1}
    trainer, recorded = trained(tmp_path, collator, net=net, **UNTIL_PLATEAU | more)
    assert collator.strategy_is_on
    measured = warmup_losses(trainer)
    left = max(measured)
    assert [loss < math.log(TYPES) - 0.5 for loss in measured.values()].count(True) == 1
    assert 0 < left < 40
    # The first four batches are the rows that the loss is measured on.
    steps = list(zip(recorded.batches, recorded.weights, strict=True))[4:]
    for step, ((batch, masked), weights_then) in enumerate(steps):
        net.load_state_dict(weights_then)
        # The Trainer collates one batch ahead, except for the first one of an epoch.
        on = step > left or (step == left and step % 4 == 0)
        scores = entropy(net) if on else None
        assert same(masked, direct(batch, masking, step // 4, scores)), step
    resumed = EntropyMaskingCollator(TOKENIZER, masking, counts=EVEN)
    state = TrainerState.load_from_json(str(tmp_path / "checkpoint-48" / "trainer_state.json"))
    assert not resumed.strategy_is_on
    resumed.callback.on_train_begin(arguments(tmp_path), state, None, model=net)
    assert resumed.strategy_is_on


ARCHITECTURES = ["bert", "distilbert", "roberta", "electra", "modernbert"]


def net_of(architecture: str) -> Any:
    """An untrained model, by which every type is as likely."""
    spec = {"model": {"architecture": architecture, "size": "tiny"}}
    torch.manual_seed(0)
    return build_model(RunSpec.parse(spec).resolved().model, TOKENIZER, LENGTH, 0)


def warmup_losses(trainer: Trainer) -> dict[int, float]:
    """What was measured in the warm-up, by step."""
    history = trainer.state.log_history
    name = "masking_warmup_loss"
    return {entry["step"]: entry[name] for entry in history if name in entry}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_warm_up_ends_at_the_same_step_with_accumulated_gradients(
    architecture: str, tmp_path: Path
) -> None:
    left = {}
    for accumulation in (1, 8):
        collator = EntropyMaskingCollator(TOKENIZER, "self-entropy-sample", counts=EVEN)
        parts = {
            "per_device_train_batch_size": 8 // accumulation,
            "gradient_accumulation_steps": accumulation,
            "logging_steps": 8,
        }
        trainer, _ = trained(tmp_path, collator, net=net_of(architecture), **UNTIL_PLATEAU | parts)
        assert collator.strategy_is_on
        left[accumulation] = max(warmup_losses(trainer))
    assert abs(left[1] - left[8]) <= 8
    assert left[1] > 0


@pytest.mark.parametrize(
    "parts",
    [
        {"gradient_accumulation_steps": 8, "per_device_train_batch_size": 3},
        {"label_smoothing_factor": 0.2},
        {"dataloader_num_workers": 1},
        {"logging_strategy": "no"},
        {"remove_unused_columns": True},
    ],
    ids=lambda parts: next(iter(parts)),
)
def test_the_loss_of_the_warm_up_is_that_on_fixed_random_masks(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    masking = {"preset": "frequency", "warmup": "plateau"}
    collator = EntropyMaskingCollator(TOKENIZER, masking, counts=COUNTS)
    net = model()
    for row in (rows := examples()):
        del row["row_id"]  # which a Trainer may drop
    with pytest.warns(UserWarning, match="the warm-up 'plateau' never ended"):
        trainer, _ = trained(tmp_path, collator, rows, net, **{"num_train_epochs": 1} | parts)
    start = warmup_losses(trainer)[0]
    batch = collator.for_evaluation()(examples_without_number())
    start_net = model().double().eval()
    with torch.no_grad():
        logs = start_net(input_ids=batch["input_ids"]).logits.log_softmax(-1)
    predicted = batch["labels"] >= 0
    exact = -logs[predicted].gather(1, batch["labels"][predicted][:, None]).mean()
    assert start == pytest.approx(float(exact), abs=1e-4)


def examples_without_number() -> list[Example]:
    return [{"input_ids": row["input_ids"]} for row in examples()]


def test_measuring_leaves_the_training_as_it_is(tmp_path: Path) -> None:
    found = []
    for warmup in ("plateau", 0.999):
        masking = {"preset": "frequency", "warmup": warmup}
        collator = EntropyMaskingCollator(TOKENIZER, masking, counts=COUNTS)
        net = model()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            trained(tmp_path, collator, net=net)
        found.append(net.state_dict())
    for name, tensor in found[0].items():
        assert torch.equal(tensor, found[1][name])


def test_without_the_callback_one_warning_says_that_masks_repeat() -> None:
    collator = EntropyMaskingCollator(TOKENIZER, "random")
    with pytest.warns(UserWarning, match=r"callbacks=\[collator.callback\]"):
        first = collator(examples())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(collator(examples()), (first["input_ids"], first["labels"]))
    assert same(first, direct(examples(), "random", 0))


def test_scores_are_made_in_the_precision_of_the_training(tmp_path: Path) -> None:
    teacher = model(seed=1)
    masking = {"preset": "teacher-entropy-high", "refresh": "fresh", "rate": 0.5}
    collator = EntropyMaskingCollator(TOKENIZER, masking, teacher=teacher)
    collator.attach(arguments(tmp_path, bf16=True), model())
    collator.set_epoch(0)

    def half(tokens: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return entropy(teacher)(tokens)

    masked = collator(examples())
    assert same(masked, direct(examples(), masking, 0, half))
    assert not same(masked, direct(examples(), masking, 0, entropy(teacher)))


# Rows, padding, batches.

LENGTHS = [24, 7, 15, 24, 3, 20, 11, 9]
KINDS: dict[str, dict[str, Any]] = {
    "random": {"masking": "random"},
    "frequency": {"masking": "frequency", "counts": COUNTS},
    "teacher-visible": {"masking": "teacher-entropy-high", "teacher": model(1)},
    "teacher-masked": {"masking": "teacher-masked-entropy-sample", "teacher": model(1)},
    "teacher-modernbert": {"masking": "teacher-masked-entropy-high", "teacher": modernbert()},
    "self": {"masking": SHARE, "model": model(1)},
    "span": {"masking": {"preset": "span", "score": "frequency"}, "counts": COUNTS},
}


def made(**given: Any) -> EntropyMaskingCollator:
    collator = EntropyMaskingCollator(TOKENIZER, **given)
    collator.set_epoch(1)
    return collator


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_s_mask_depends_on_neither_the_batch_nor_its_padding(kind: str) -> None:
    rows = examples(LENGTHS)
    together = made(**KINDS[kind], pad_to_multiple_of=32)(rows)
    assert together["input_ids"].shape == (8, 32)
    alone, turned = made(**KINDS[kind]), made(**KINDS[kind])(rows[::-1])
    for i, length in enumerate(LENGTHS):
        one = alone([rows[i]])
        assert one["input_ids"].shape == (1, length)
        assert one["attention_mask"].all()
        for batch, place in ((together, i), (turned, 7 - i)):
            for name in ("input_ids", "labels", "attention_mask"):
                assert torch.equal(batch[name][place, :length], one[name][0])
            assert (batch["input_ids"][place, length:] == PAD).all()
            assert (batch["labels"][place, length:] == -100).all()
            assert (batch["attention_mask"][place, length:] == 0).all()
        # [CLS] and [SEP] are not maskable.
        assert int((one["labels"] >= 0).sum()) == max(1, round(0.15 * (length - 2)))


@pytest.mark.parametrize("build", [model, modernbert])
@pytest.mark.parametrize("masking", ["teacher-entropy-high", "teacher-masked-entropy-high"])
def test_padding_is_not_attended_by_what_scores(
    build: Callable[[], Any], masking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Tensor] = []
    masker = Masker.__call__

    def recorded(self: Masker, rows: Tensor, ids: Tensor, epoch: int, *a: Any, **k: Any) -> Any:
        found.append(a[0])
        return masker(self, rows, ids, epoch, *a, **k)

    monkeypatch.setattr(Masker, "__call__", recorded)
    parts = {"preset": masking, "refresh": "fresh"}
    collator = made(masking=parts, teacher=build())
    rows = examples(LENGTHS)
    collator(rows)
    for row in rows:
        collator([row])
    for i, length in enumerate(LENGTHS):
        assert found[0][i, :length].tolist() == pytest.approx(found[i + 1][0].tolist(), abs=1e-4)


def test_without_a_row_s_number_its_tokens_stand_in() -> None:
    rows = [{"input_ids": row["input_ids"]} for row in examples(LENGTHS)]
    collator = made(masking="random")
    together = collator(rows)
    for i, length in enumerate(LENGTHS):
        assert torch.equal(collator([rows[i]])["labels"][0], together["labels"][i, :length])
    prepadded = [
        {"input_ids": [*row["input_ids"], *[PAD] * 3], "attention_mask": [*[1] * n, 0, 0, 0]}
        for row, n in zip(rows, LENGTHS, strict=True)
    ]
    assert torch.equal(collator(prepadded)["labels"][:, :24], together["labels"])
    # Two rows of other tokens have other noise.
    alike = [{"input_ids": [CLS, *[5 + i] * 30, SEP]} for i in range(2)]
    first, second = collator(alike)["labels"] >= 0
    assert not torch.equal(first, second)


def test_columns_pass_through_and_labels_are_made_anew() -> None:
    rows = [
        row
        | {"labels": [1, 2], "token_type_ids": [0, *[1] * (n - 1)], "weight": 0.5, "pair": [n, 1]}
        for row, n in zip(examples(LENGTHS), LENGTHS, strict=True)
    ]
    batch = made(masking="random")(rows)
    assert set(batch) == {
        "input_ids",
        "attention_mask",
        "labels",
        "token_type_ids",
        "weight",
        "pair",
    }
    assert batch["weight"].tolist() == [0.5] * 8
    assert batch["pair"].tolist() == [[n, 1] for n in LENGTHS]
    assert batch["token_type_ids"].sum(1).tolist() == [n - 1 for n in LENGTHS]
    plain = made(masking="random")(examples(LENGTHS))
    assert same(plain, (batch["input_ids"], batch["labels"]))


def test_what_a_special_tokens_mask_marks_is_never_masked_and_is_seen_as_it_is() -> None:
    rows = [
        {"input_ids": row, "row_id": i, "special_tokens_mask": [1, *[0, 1] * 11, 1]}
        for i, row in enumerate(ROWS[:, :].tolist())
    ]
    marked = torch.tensor(rows[0]["special_tokens_mask"]).bool()
    batch = made(masking={"preset": "random", "rate": 0.9})(rows)
    assert (batch["labels"][:, marked] == -100).all()
    assert torch.equal(batch["input_ids"][:, marked], ROWS[:, marked])
    assert ((batch["labels"] >= 0).sum(1) == round(0.9 * 11)).all()


def test_what_is_not_attended_is_never_masked_whatever_stands_there() -> None:
    rows = [row | {"attention_mask": [1] * 12 + [0] * 12} for row in examples()]
    batch = made(masking={"preset": "random", "rate": 0.9})(rows)
    assert (batch["labels"][:, 12:] == -100).all()
    assert torch.equal(batch["input_ids"][:, 12:], ROWS_FRAMED[:, 12:])
    assert ((batch["labels"] >= 0).sum(1) == round(0.9 * 11)).all()
    assert (batch["attention_mask"].sum(1) == 12).all()


def test_words_come_as_flags_word_ids_or_offsets() -> None:
    # [CLS] aa b ccc d [SEP], where "aa" and "ccc" have two and three tokens.
    tokens = [CLS, 5, 6, 7, 8, 9, 10, 11, SEP]
    word_ids = [None, 0, 0, 1, 2, 2, 2, 3, None]
    words = [True, True, False, True, True, False, False, True, True]
    ends = [(0, 0), (0, 2), (2, 4), (5, 6), (7, 9), (9, 11), (11, 12), (13, 14), (0, 0)]
    masking = {"preset": "whole-word", "rate": 0.43, "corruption": [1, 0, 0]}  # 3 of 7
    cut = 0
    for number in range(60):
        row = {"input_ids": tokens, "row_id": number}
        given: tuple[dict[str, Any], ...] = ({"words": words}, {"word_ids": word_ids})
        flags, ids = (made(masking=masking)([row | more])["labels"][0] for more in given)
        assert torch.equal(flags, ids)
        hidden = (flags >= 0).tolist()
        parts = [hidden[1:3], hidden[3:4], hidden[4:7], hidden[7:8]]
        assert sum(hidden) == 3
        cut += sum(any(part) and not all(part) for part in parts) > 1
    assert cut == 0  # one word at most is cut, by the budget
    # Without a word the types tell: here each token is one, so that offsets add nothing.
    bare = made(masking=masking)([{"input_ids": tokens, "row_id": 3}])
    with_offsets = made(masking=masking)(
        [{"input_ids": tokens, "row_id": 3, "offset_mapping": ends}]
    )
    assert same(bare, (with_offsets["input_ids"], with_offsets["labels"]))


def test_offsets_tell_of_gaps_that_the_types_do_not_show() -> None:
    tokenizer = byte_level_tokenizer()
    ids = tokenizer.convert_tokens_to_ids(["a", "b", "c", "d"])
    row = {"input_ids": [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id], "row_id": 0}
    masking = {"preset": "whole-word", "rate": 0.5, "corruption": [1, 0, 0]}
    patterns = set()
    for number in range(40):
        collator = EntropyMaskingCollator(tokenizer, masking)
        collator.set_epoch(0)
        offsets = [(0, 0), (0, 1), (1, 2), (3, 4), (4, 5), (0, 0)]
        labels = collator([row | {"row_id": number, "offset_mapping": offsets}])["labels"]
        patterns.add(tuple((labels[0, 1:5] >= 0).tolist()))
    assert patterns == {(True, True, False, False), (False, False, True, True)}


def test_scores_of_one_s_own_and_pmi_select() -> None:
    pairs = np.array([5 * TYPES + 6, 6 * TYPES + 5, 7 * TYPES + 8])
    pmi = PMIScore(pairs, np.full(3, 9, np.float32), TYPES, range(5))
    with_pmi = made(masking="pmi", scores=lambda rows, ids: pmi(rows))(examples())
    assert same(with_pmi, direct(examples(), "pmi", 1, pmi))
    assert not same(with_pmi, direct(examples(), "pmi", 1))
    top = {"select": "top", "rate": 0.3}
    seen: list[Tensor] = []

    def rare(rows: Tensor, row_ids: Tensor) -> Tensor:
        seen.append(row_ids)
        return rows.double()

    own = made(masking=top, scores=rare)(examples())
    assert same(own, direct(examples(), top, 1, lambda rows: rows.double()))
    assert seen[0].tolist() == list(range(24))


# Bad input.


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"masking": "amlm"}, "does not see", "entromask run"),
        ({"masking": "time-variant"}, "predictions of each step", "entromask run"),
        ({"masking": "self-masked-entropy-sample"}, "refresh 'cached'", "refresh: fresh (seven"),
        (
            {"masking": {"preset": "self-entropy-sample", "refresh": "cached"}},
            "refresh 'cached'",
            "refresh: fresh (one",
        ),
        (
            {"masking": {"preset": "self-entropy-sample", "source": "self-ema"}},
            "self-ema",
            "refresh: fresh",
        ),
        ({"masking": "self-entropy-sample"}, "there are no counts", '"warmup": 0.1'),
        ({"masking": "frequency"}, "needs counts", "pass counts="),
        ({"masking": "pmi"}, "needs scores", "PMIScore.of_rows"),
        ({"masking": "teacher-entropy-sample"}, "needs teacher", "pass teacher="),
        ({"masking": {"score": "entropy", "source": "corpus"}}, "does not fit", "presets"),
        ({"masking": "randon"}, "did you mean 'random'", "entromask strategies"),
        ({"masking": "random", "teacher": model()}, "teacher is given", "leave teacher out"),
        ({"masking": "frequency", "counts": COUNTS, "model": model()}, "model is given", "leave"),
        ({"masking": SHARE, "scores": lambda r, i: r}, "scores is given", "leave scores out"),
        ({"masking": "frequency", "counts": COUNTS[:50]}, "of shape (50,)", "numpy.bincount"),
        ({"masking": "frequency", "counts": -COUNTS}, "0 or more", "numpy.bincount"),
        ({"masking": SHARE, "model": torch.nn.Linear(2, 2)}, "is a Linear", "AutoModelForMaskedLM"),
        ({"masking": "teacher-entropy-high", "teacher": 3}, "is a int", "AutoModelForMaskedLM"),
        (
            {"masking": "teacher-entropy-high", "teacher": Path("nowhere")},
            "no model folder nowhere",
            "config.json",
        ),
        (
            {"masking": "teacher-entropy-high", "teacher": {"run": "a", "path": "b"}},
            "teacher",
            "schema",
        ),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_a_collator_cannot_do_is_refused_with_a_way_out(
    given: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(InputError) as error:
        EntropyMaskingCollator(TOKENIZER, **given)
    assert message in error.value.message
    assert hint in str(error.value.hint)


ROW = [CLS, 7, 8, SEP]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "not nothing"),
        (["text"], "not a list of whole numbers"),
        ([3, 4], "not a list of whole numbers"),
        ({"input_ids": [ROW, ROW], "row_id": [1]}, "one entry for each example"),
        ([[CLS, SEP], [CLS, CLS, SEP]], "no token of a batch of 2 examples can be masked"),
        ([{"input_ids": ROW, "attention_mask": [0] * 4}], "can be masked"),
        ([{"input_ids": ROW, "special_tokens_mask": [1] * 4}], "can be masked"),
        ([{"attention_mask": [1]}], "all need input_ids"),
        ([{"input_ids": ROW}, {"input_ids": ROW, "row_id": 1}], "the same keys"),
        ([{"input_ids": [ROW]}], "not a list of whole numbers"),
        ([{"input_ids": [0.5, 1.0]}], "not a list of whole numbers"),
        ([{"input_ids": "text"}], "not a list of whole numbers"),
        ([{"input_ids": []}], "one or more token ids from 0 to 299"),
        ([{"input_ids": [CLS, 300]}], "token ids from 0 to 299"),
        ([{"input_ids": ROW, "attention_mask": [1]}], "has 1 entries, and input_ids 4"),
        ([{"input_ids": ROW, "words": [True]}], "words of example 0"),
        ([{"input_ids": ROW, "word_ids": [None]}], "word_ids of example 0"),
        ([{"input_ids": ROW, "row_id": "a"}], "row_id"),
        ([{"input_ids": ROW, "row_id": 1 << 70}], "row_id"),
        ([{"input_ids": ROW, "text": "a"}], "the column 'text'"),
    ],
)
def test_examples_that_make_no_batch_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        made(masking="random")(rows)
    assert message in error.value.message
    assert error.value.hint


def test_a_batch_to_pad_needs_a_padding_token() -> None:
    tokenizer = word_tokenizer(TYPES)
    tokenizer.pad_token = None
    collator = EntropyMaskingCollator(tokenizer, "random")
    collator.set_epoch(0)
    assert collator(examples()[:2])["input_ids"].shape == (2, LENGTH)
    with pytest.raises(InputError, match="no padding token"):
        collator(examples(LENGTHS))


def test_a_teacher_with_another_tokenizer_or_too_short_is_refused(
    finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="another tokenizer than the collator"):
        made(masking="teacher-entropy-high", teacher=str(finished / "model"))
    short = made(masking="teacher-entropy-high", teacher=model(positions=16))
    with pytest.raises(InputError, match="at most 16 tokens, and a batch has rows of 24"):
        short(examples())
    few = BertForMaskedLM(BertConfig(vocab_size=20, hidden_size=12, num_hidden_layers=1))
    with pytest.raises(InputError, match="predicts 20 types, and the tokenizer has 300"):
        made(masking="teacher-entropy-high", teacher=few)


def test_a_teacher_that_is_damaged_is_named() -> None:
    teacher = model()
    collator = made(masking="teacher-entropy-high", teacher=teacher)
    torch.nn.init.constant_(teacher.bert.embeddings.LayerNorm.weight, math.nan)
    with pytest.raises(InputError, match="not finite"):
        collator(examples())


def test_scores_of_the_wrong_shape_are_refused() -> None:
    collator = made(masking={"select": "top"}, scores=lambda rows, ids: rows.double().sum(1))
    with pytest.raises(InputError, match=r"scores returned \(24,\) for rows of shape \(24, 24\)"):
        collator(examples())


def test_source_self_without_a_model_says_how_to_name_it() -> None:
    with pytest.raises(InputError, match="nobody has named it") as error:
        made(masking=SHARE)(examples())
    assert "callbacks=[collator.callback]" in str(error.value.hint)


def test_scores_of_a_model_are_refused_in_worker_processes(tmp_path: Path) -> None:
    collator = made(masking=SHARE, model=model())
    with pytest.raises(InputError, match="dataloader_num_workers is 2"):
        Trainer(
            model(),
            arguments(tmp_path, dataloader_num_workers=2),
            data_collator=collator,
            train_dataset=Data(examples()),
            callbacks=[collator.callback],
        )
    loader = DataLoader(Data(examples()), collate_fn=collator, num_workers=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="set dataloader_num_workers=0"):
        next(iter(loader))


# As transformers' own collators.


@pytest.mark.parametrize(
    "given",
    [
        [row["input_ids"] for row in examples([24, 7, 15])],
        [torch.tensor(row["input_ids"]) for row in examples([24, 7, 15])],
        [np.array(row["input_ids"]) for row in examples([24, 7, 15])],
        [{"input_ids": np.array(row["input_ids"])} for row in examples([24, 7, 15])],
        [{"input_ids": torch.tensor(row["input_ids"])} for row in examples([24, 7, 15])],
        {"input_ids": [row["input_ids"] for row in examples([24, 7, 15])]},
    ],
    ids=["lists", "tensors", "arrays", "mappings of arrays", "mappings of tensors", "columns"],
)
def test_examples_come_in_many_forms(given: Any) -> None:
    plain = [{"input_ids": row["input_ids"]} for row in examples([24, 7, 15])]
    expected = made(masking="random")(plain)
    assert same(made(masking="random")(given), (expected["input_ids"], expected["labels"]))


def test_numpy_arrays_are_returned_where_they_are_asked_for() -> None:
    tensors = made(masking="random")(examples(LENGTHS))
    by_call = made(masking="random")(examples(LENGTHS), return_tensors="np")
    by_collator = made(masking="random", return_tensors="np")(examples(LENGTHS))
    for arrays in (by_call, by_collator):
        assert set(arrays) == set(tensors)
        for name, array in arrays.items():
            assert isinstance(array, np.ndarray)
            assert array.dtype == np.int64
            assert (array == tensors[name].numpy()).all()
    for refused in (
        lambda: made(masking="random", return_tensors="tf"),
        lambda: made(masking="random")(examples(), return_tensors="tf"),
    ):
        with pytest.raises(ValueError, match="return_tensors is 'tf'; allowed: 'pt'"):
            refused()


def test_left_padding_moves_the_masks_with_their_tokens() -> None:
    rows = [
        row | {"token_type_ids": [1] * n, "special_tokens_mask": [1] + [0] * (n - 2) + [1]}
        for row, n in zip(examples(LENGTHS), LENGTHS, strict=True)
    ]
    left_tokenizer = word_tokenizer(TYPES)
    left_tokenizer.padding_side = "left"
    for kind in KINDS.values():
        right = made(**kind, pad_to_multiple_of=32)(rows)
        collator = EntropyMaskingCollator(left_tokenizer, **kind, pad_to_multiple_of=32)
        collator.set_epoch(1)
        left = collator(rows)
        for i, length in enumerate(LENGTHS):
            for name, fill in (
                ("input_ids", PAD),
                ("labels", -100),
                ("attention_mask", 0),
                ("token_type_ids", 0),
            ):
                assert torch.equal(left[name][i, 32 - length :], right[name][i, :length])
                assert (left[name][i, : 32 - length] == fill).all()
        # Rows that come padded on the left, by the tokenizer.
        padded_before = [
            {
                "input_ids": [PAD] * (32 - n) + row["input_ids"],
                "attention_mask": [0] * (32 - n) + [1] * n,
                "row_id": row["row_id"],
            }
            for row, n in zip(rows, LENGTHS, strict=True)
        ]
        again = collator(padded_before)
        assert same(again, (left["input_ids"], left["labels"]))


def test_evaluation_masks_are_fixed_and_those_of_no_strategy() -> None:
    rows = examples(LENGTHS)
    teacher = made(**KINDS["teacher-visible"])
    fixed, other = teacher.for_evaluation(), made(masking="random", seed=3).for_evaluation()
    first = fixed(rows)
    fixed.set_epoch(5, 0.9)  # as the callback of a Trainer would
    for again in (fixed(rows), other(rows)):
        assert same(again, (first["input_ids"], first["labels"]))
    for i, length in enumerate(LENGTHS):
        alone = fixed([rows[i]])
        assert torch.equal(alone["labels"][0], first["labels"][i, :length])
        assert torch.equal(alone["input_ids"][0], first["input_ids"][i, :length])
    whole = examples()
    expected = Masker("random", TOKENIZER, seed=15)(ROWS_FRAMED, torch.arange(24), 0)
    assert same(fixed(whole), expected)


def test_a_masking_trainer_evaluates_on_fixed_masks(tmp_path: Path) -> None:
    held_out = examples()[:12]
    found = {}
    for preset in ("random", "frequency"):
        collator = EntropyMaskingCollator(TOKENIZER, preset, counts=COUNTS_FOR[preset])
        net = model()
        args = arguments(
            tmp_path / preset,
            eval_strategy="steps",
            eval_steps=2,
            save_strategy="steps",
            save_steps=2,
            load_best_model_at_end=True,
            learning_rate=0.0,
        )
        trainer = MaskingTrainer(
            net,
            args,
            data_collator=collator,
            train_dataset=Data(examples()),
            eval_dataset=Data(held_out),
        )
        assert trainer.callback_handler.callbacks.count(collator.callback) == 1
        trainer.train()
        history = trainer.state.log_history
        found[preset] = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    batch = EntropyMaskingCollator(TOKENIZER, "random").for_evaluation()(held_out)
    with torch.no_grad():
        exact = float(model().eval()(**batch).loss)
    # Nothing is learned at rate 0: each evaluation of each strategy says the same.
    assert found["random"] == pytest.approx([exact] * 4, abs=1e-5)
    assert found["frequency"] == pytest.approx([exact] * 4, abs=1e-5)


COUNTS_FOR = {"random": None, "frequency": COUNTS}


def test_a_selection_by_the_strategy_s_own_masks_is_warned_of(tmp_path: Path) -> None:
    collator = EntropyMaskingCollator(TOKENIZER, "random")
    parts = {
        "eval_strategy": "steps",
        "eval_steps": 8,
        "save_strategy": "steps",
        "save_steps": 8,
        "load_best_model_at_end": True,
    }
    trainer = Trainer(
        model(),
        arguments(tmp_path, **parts),
        data_collator=collator,
        train_dataset=Data(examples()),
        eval_dataset=Data(examples()[:6]),
        callbacks=[collator.callback],
    )
    with pytest.warns(UserWarning, match=r"entromask\.hf\.MaskingTrainer"):
        trainer.train()


def test_a_masking_trainer_needs_a_masking_collator(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a NoneType, not an EntropyMaskingCollator"):
        MaskingTrainer(model(), arguments(tmp_path), train_dataset=Data(examples()))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["pt", "np"])
def test_batches_are_those_of_transformers_collator_but_for_the_masks(kind: str, side: str) -> None:
    tokenizer = word_tokenizer(TYPES)
    tokenizer.padding_side = side
    rows = [
        {
            "input_ids": row["input_ids"],
            "token_type_ids": [0, *[1] * (n - 1)],
            "special_tokens_mask": [1, *[0] * (n - 2), 1],
            "next_sentence_label": n % 2,
        }
        for row, n in zip(examples(LENGTHS), LENGTHS, strict=True)
    ]
    theirs = DataCollatorForLanguageModeling(
        tokenizer, pad_to_multiple_of=16, return_tensors=kind, seed=0
    )(copy.deepcopy(rows))
    collator = EntropyMaskingCollator(tokenizer, "random", pad_to_multiple_of=16)
    collator.set_epoch(0)
    mine = collator(rows, return_tensors=kind)
    assert set(mine) == set(theirs)
    for name in ("attention_mask", "token_type_ids", "next_sentence_label"):
        assert type(mine[name]) is type(theirs[name])
        assert mine[name].tolist() == theirs[name].tolist()
    whole = [np.where(b["labels"] >= 0, b["labels"], b["input_ids"]) for b in (mine, theirs)]
    assert (whole[0] == whole[1]).all()
