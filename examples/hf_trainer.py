"""Entropy-aware masking in the Hugging Face Trainer: a small encoder, on a CPU, without a network.

One or two minutes:

    python examples/hf_trainer.py                             # source self: the model in training
    python examples/hf_trainer.py --source teacher            # a teacher, trained here beforehand
    python examples/hf_trainer.py --source teacher --teacher RUN/model --text my_text.txt

Without --text, the text is the documentation that ships with Python. The last line is the loss on
Entromask's common random masks, which compares runs of any masking with one another.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from entromask.errors import EntromaskError
from entromask.hf import EntropyMaskingCollator
from entromask.modeling.architectures import build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import RunSpec
from entromask.text.corpus import open_corpus
from entromask.text.packing import PackedCorpus, pack
from entromask.text.tokenizer import load_tokenizer, open_tokenizer
from entromask.training.validation import CommonValidation

LENGTH = 64  # tokens of a row


class Rows(Dataset):  # type: ignore[type-arg]
    """A packed corpus as examples; any data set with input_ids will do, padded or not."""

    def __init__(self, packed: PackedCorpus) -> None:
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed.train)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"input_ids": self.packed.train[row].tolist(), "row_id": row}


def spec(text: Path | None) -> RunSpec:
    """Where the text comes from, and the shape of the model: as in examples/quick.yaml."""
    builtin = {"source": "builtin"}
    return RunSpec.parse(
        {
            "corpus": builtin if text is None else {"source": "local", "path": str(text)},
            "tokenizer": {"source": "train", "vocab_size": 2048},
            "model": {"architecture": "modernbert", "size": "tiny"},
        }
    ).resolved()


def train(
    model: PreTrainedModel, rows: Rows, collator: EntropyMaskingCollator, steps: int
) -> PreTrainedModel:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=16,
            learning_rate=2e-3,
            warmup_steps=steps // 10,
            logging_steps=max(1, steps // 10),
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,  # keeps row_id, on which the masks depend
        )
        Trainer(
            model,
            arguments,
            data_collator=collator,
            train_dataset=rows,
            callbacks=[collator.callback],  # tells the collator of the epoch and of the model
        ).train()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", choices=["self", "teacher"], default="self")
    parser.add_argument("--teacher", type=Path, help="model folder; default: trained here")
    parser.add_argument("--text", type=Path, help="documents, with an empty line between them")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    described = spec(given.text)
    corpus = open_corpus(described.corpus)
    assert described.tokenizer is not None, "resolved"
    tokenizer: PreTrainedTokenizerBase
    if given.teacher is None:
        tokenizer = open_tokenizer(described.tokenizer, corpus)
    else:  # teacher and student read the same tokens
        tokenizer = load_tokenizer(str(given.teacher))
    packed = pack(corpus, tokenizer, LENGTH, None)
    rows = Rows(packed)

    def new_model() -> PreTrainedModel:
        return build_model(described.model, tokenizer, LENGTH, given.seed)

    if given.source == "self":
        # Random masks for the first half: an untrained model is as uncertain about any token.
        masking = {"preset": "self-entropy-sample", "warmup": 0.5}
        collator = EntropyMaskingCollator(tokenizer, masking, seed=given.seed)
    else:
        teacher = given.teacher
        if teacher is None:
            print(f"teacher: {given.steps} steps of random masks", flush=True)
            random = EntropyMaskingCollator(tokenizer, "random", seed=given.seed)
            teacher = train(new_model(), rows, random, given.steps)
        collator = EntropyMaskingCollator(
            tokenizer, "teacher-masked-entropy-sample", seed=given.seed, teacher=teacher
        )
    print(f"{collator.masking.preset}: {given.steps} steps", flush=True)
    model = train(new_model(), rows, collator, given.steps)

    common = CommonValidation(packed.train, packed.validation, packed.counts, tokenizer)
    report = common.report(SparseMaskedLM(model))
    print(
        f"common loss {report['loss']:.3f} nats (unigram {report['unigram_loss']:.3f}), "
        f"accuracy {report['accuracy']:.3f}"
    )


if __name__ == "__main__":
    try:
        main()
    except EntromaskError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
