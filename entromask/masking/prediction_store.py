"""A teacher's most likely tokens at every position of a corpus, each predicted behind a mask.

What distillation reads in place of a forward pass of the teacher each step.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.masking.row_store import RowStore, folder_of
from entromask.masking.scoring import GROUPS, Progress, Rows, evaluating, hidden_groups
from entromask.modeling.distillation import top_k_probabilities
from entromask.modeling.masked_lm import SparseMaskedLM, weights_fingerprint
from entromask.settings import settings
from entromask.text.encoding import frame_ids
from entromask.training.cost import Cost

# Raised when the meaning of the bytes changes; an older store is then computed anew.
VERSION = 1
# Tokens between two commits of a store: a kill loses half a minute of a CPU's work at most.
_COMMIT_TOKENS = 1 << 15
# Rows of one forward pass are chosen so that they hold about this many tokens.
_PASS_TOKENS = {"cpu": 1 << 13, "cuda": 1 << 16}


class PredictionStore(RowStore):
    """The k largest probabilities at each position of a corpus, float16, and their token ids.

    Ids take two bytes, or four for a vocabulary of more than 65,536 tokens. Positions that are
    never predicted, those of special tokens, hold zeros.

    Args:
        folder: of this store alone; made when the first rows are written.
        identity: what the predictions depend on; a store with another is computed anew.
        rows, length: N and T.
        top_k: k.
        vocabulary: V.
    """

    WHAT = "the store of the teacher's predictions"
    FILE = "predictions.bin"

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str | int],
        rows: int,
        length: int,
        top_k: int,
        vocabulary: int,
    ) -> None:
        self.length, self.top_k = length, top_k
        ids = np.uint16 if vocabulary <= 1 << 16 else np.uint32
        shape = (length, top_k)
        row = np.dtype([("ids", ids, shape), ("probabilities", np.float16, shape)])
        whole: dict[str, str | int] = {
            **identity,
            "version": VERSION,
            "length": length,
            "top_k": top_k,
            "vocabulary": vocabulary,
        }
        super().__init__(folder, whole, rows, row)

    def append(self, ids: Tensor, probabilities: Tensor, **facts: float) -> None:
        """Commits the predictions of the next rows; only within `filling`.

        Args:
            ids: [n, T, k] int64, any device.
            probabilities: [n, T, k], at most 1 in sum at a position.
            facts: costs in seconds or FLOPs, summed over all commits in `self.facts`.

        Raises:
            InputError: a probability is not finite.
            ValueError: too many rows, or of another shape.
            DiskFullError: there is no room.
        """
        shape = (self.length, self.top_k)
        if ids.shape != probabilities.shape or probabilities.shape[1:] != shape:
            raise ValueError(
                f"ids and probabilities must be [n, {self.length}, {self.top_k}], not "
                f"{tuple(ids.shape)} and {tuple(probabilities.shape)}"
            )
        self._check_room(len(ids))
        if not bool(torch.isfinite(probabilities).all()):
            raise InputError(
                f"the teacher gives probabilities that are not finite, between rows {self.filled} "
                f"and {self.filled + len(ids) - 1}",
                "its weights are damaged, or it overflows in half precision",
            )
        rows = np.empty(len(ids), self._row)
        rows["ids"] = ids.cpu().numpy()
        rows["probabilities"] = probabilities.detach().cpu().numpy()
        self._commit(rows, facts)

    def read(self, row_ids: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """The predictions at some positions of rows, on the CPU.

        Rounding to float16 may have lifted the sum of a position over 1; it is scaled back to 1.

        Args:
            row_ids: [B] int64, the rows' numbers in the corpus.
            where: [B, T] bool, n positions.

        Returns:
            Token ids [n, k] int64 and probabilities [n, k] float32, the largest first, the
            positions in row-major order.

        Raises:
            ValueError: a row that is not in the store or not filled yet, or a position that was
                never predicted, such as that of a special token.
        """
        rows = self._numbers(row_ids)
        row, position = where.cpu().numpy().nonzero()
        at = rows[row], position
        ids = torch.from_numpy(self.contents["ids"][at].astype(np.int64))
        probabilities = torch.from_numpy(self.contents["probabilities"][at].astype(np.float32))
        unpredicted = (probabilities[:, 0] == 0).nonzero()
        if len(unpredicted):
            first = int(unpredicted[0])
            raise ValueError(
                f"position {position[first]} of row {at[0][first]} was never predicted: it holds "
                "a special token"
            )
        return ids, probabilities.div_(probabilities.sum(1, keepdim=True).clamp_(min=1))


def masked_top_k(
    teacher: SparseMaskedLM,
    mask_id: int,
    input_ids: Tensor,
    maskable: Tensor,
    row_ids: Tensor,
    top_k: int,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """The teacher's k most likely tokens at each position when it does not see the token there.

    The positions of a row fall into 7 random groups (`hidden_groups`); each pass hides one group
    behind the mask token and predicts it, so that each position is predicted exactly once. The
    teacher runs without dropout and is left in the mode it was in.

    Args:
        mask_id: id of the mask token.
        input_ids: [B, T], on any device.
        maskable: [B, T] bool, the positions to predict; the others get zeros.
        row_ids: [B] int64, the rows' numbers in the corpus; they decide the groups.

    Returns:
        Token ids [B, T, k] int64 and probabilities [B, T, k] float32, the largest first, on the
        device of input_ids.
    """
    device = next(teacher.parameters()).device
    ids = torch.zeros(*input_ids.shape, top_k, dtype=torch.int64, device=device)
    probabilities = torch.zeros(ids.shape, device=device)
    tokens = input_ids.to(device)
    groups = hidden_groups(maskable.to(device), row_ids.to(device))
    with evaluating(teacher):
        for group in range(GROUPS):
            here = groups == group
            if bool(here.any()):
                states = teacher.states(tokens.masked_fill(here, mask_id), where=here)
                found = top_k_probabilities(states, *teacher.projection(), top_k, temperature)
                ids[here], probabilities[here] = found[0], found[1].float()
    return ids.to(input_ids.device), probabilities.to(input_ids.device)


def open_teacher_predictions(
    teacher: SparseMaskedLM,
    corpus: Rows,
    tokenizer: PreTrainedTokenizerBase,
    top_k: int,
    temperature: float,
    device: torch.device | str = "cpu",
    on_progress: Progress | None = None,
) -> tuple[PredictionStore, dict[str, float]]:
    """The complete store of a teacher's predictions on a packed corpus; computed if need be.

    The store lies in the cache under a fingerprint of the teacher's weights, the corpus, k and
    the temperature. The costs are those of the whole store, whether or not this call has paid
    for them.

    Args:
        temperature: above 0, of the softmax whose probabilities are stored.
        on_progress: called with (rows done, rows in all) after each commit.

    Returns:
        The store, and {"seconds", "flops"} that filling it took.

    Raises:
        InputError: more probabilities are asked for than there are tokens, or they are not finite.
        DiskFullError: there is no room for the store.
    """
    vocabulary = len(teacher.projection()[0])
    if top_k > vocabulary:
        raise InputError(
            f"distillation.top_k is {top_k}, and the teacher's vocabulary has {vocabulary} tokens",
            f"choose at most {vocabulary}; 16 keeps nearly all of the probability",
        )
    identity: dict[str, str | int] = {
        "teacher": weights_fingerprint(teacher),
        "corpus": corpus.fingerprint,
        "temperature": repr(float(temperature)),
        "groups": GROUPS,
    }
    folder = folder_of(
        settings().cache / "predictions", {**identity, "top_k": top_k, "version": VERSION}
    )
    rows, length = corpus.train.shape
    store = PredictionStore(folder, identity, rows, length, top_k, vocabulary)
    if not store.complete:
        predict_corpus(
            teacher, corpus.train, tokenizer, temperature, store, device, on_progress=on_progress
        )
    return store, {"seconds": 0.0, "flops": 0.0} | store.facts


def predict_corpus(
    teacher: SparseMaskedLM,
    rows: NDArray[np.unsignedinteger],
    tokenizer: PreTrainedTokenizerBase,
    temperature: float,
    store: PredictionStore,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Fills `store` with the predictions at all rows, from where it stands.

    Two processes that start together fill it once: the second waits, and finds it complete.

    Args:
        teacher: moved to `device`; runs without dropout and is left in the mode it was in.
        rows: [N, T] token ids.
        tokenizer: tells the mask token and the special tokens, which are not predicted.
        batch_size: rows of one forward pass; None: as many as the device likes.
        on_progress: called with (rows done, rows in all) after each commit.

    Raises:
        DiskFullError: there is no room for the store.
        InputError: the teacher's probabilities are not finite.
    """
    device = torch.device(device)
    teacher.to(device)
    length = rows.shape[1]
    at_once = batch_size or max(1, _PASS_TOKENS.get(device.type, 1 << 13) // length)
    # Commits end where batches end, so that a resumed store sees the very same batches.
    commit = at_once * max(1, _COMMIT_TOKENS // (at_once * length))
    special = torch.tensor(frame_ids(tokenizer))
    mask_id, kept = int(tokenizer.mask_token_id), (store.top_k, temperature)
    cost = Cost.of(teacher, length)
    with store.filling():
        while not store.complete:
            started = time.perf_counter()
            last = min(store.filled + commit, len(rows))
            parts = []
            for start in range(store.filled, last, at_once):
                row_ids = torch.arange(start, min(start + at_once, last))
                tokens = torch.from_numpy(rows[start : start + len(row_ids)].astype(np.int64))
                here = ~torch.isin(tokens, special)
                parts.append(masked_top_k(teacher, mask_id, tokens, here, row_ids, *kept))
            ids, probabilities = (torch.cat(part) for part in zip(*parts, strict=True))
            predicted = int((probabilities[..., 0] > 0).sum())
            store.append(
                ids,
                probabilities,
                seconds=time.perf_counter() - started,
                flops=cost.forward(GROUPS * ids[..., 0].numel(), predicted),
            )
            if on_progress is not None:
                on_progress(store.filled, len(rows))
