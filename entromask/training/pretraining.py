"""The pretraining loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.checkpoints import checkpoints, step_of
from entromask.errors import NonFiniteLossError
from entromask.masking import Masker
from entromask.masking.selection import HARD_SELECTIONS
from entromask.modeling.architectures import save_without_weights
from entromask.modeling.masked_lm import Prediction, SparseMaskedLM, model_tensors
from entromask.processes import gather_rows, sum_over_processes
from entromask.spec import RunSpec
from entromask.text.packing import PackedCorpus
from entromask.training.agreement import CacheAgreement
from entromask.training.batches import Batch, Batches
from entromask.training.checkpoint import (
    load_latest,
    load_optimizer,
    optimizer_tensors,
    prune,
    save_checkpoint,
)
from entromask.training.cost import Cost
from entromask.training.diagnostics import MaskDiagnostics
from entromask.training.distilling import DistillationTask, Distiller
from entromask.training.schedule import Schedule
from entromask.training.scores import CachedScores, Inputs, batch_scores
from entromask.training.validation import CommonValidation, Measured

if TYPE_CHECKING:
    from entromask.masking.prediction_store import PredictionStore
    from entromask.masking.store import ScoreStore

# The plateau is left when the common loss is this far below the unigram loss (in nats).
PLATEAU_MARGIN = 0.5
# A selection has collapsed when its masked types are effectively fewer than this share of those
# of random masks: hard selection of the lowest entropies gives about 0.03, sampling 0.5 and more.
COLLAPSED = 0.1
_LOG_EVERY = 10

# (type, step, metrics): an event of the run, as in events.jsonl.
Emit = Callable[..., None]


class Interrupted(Exception):  # noqa: N818 - a request, not a failure
    """The run was asked to stop; its checkpoint is written."""


@dataclass
class Progress:
    """What a run knows beside its tensors; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    masked_tokens: int = 0
    plateau_exit_step: int | None = None
    strategy_start_step: int | None = None
    best_loss: float | None = None
    best_step: int | None = None
    collapse_step: int | None = None
    collapse_type_ratio: float | None = None
    entropy_histograms: list[dict[str, Any]] = field(default_factory=list)
    cache_agreement: list[dict[str, float]] = field(default_factory=list)
    # The sums since the last report of their means: of the loss and of its two parts, if any.
    unreported_loss: float = 0.0
    unreported_parts: tuple[float, float] = (0.0, 0.0)


@dataclass
class Pretraining:
    """One run of the loop, from its first step, or from its last checkpoint, to its budget.

    Attributes:
        model: already on its device and in float32 (precision is autocast's).
        store: the teacher's scores, where the masking reads them from a store.
        teacher: asked each step, on the model's device; None where nothing asks it.
        predictions: the teacher's stored predictions, where distillation reads them.
        folder: where checkpoints go.
        emit: hears of progress, metrics, checkpoints and warnings.
        should_stop: asked before each step.
    """

    spec: RunSpec
    model: SparseMaskedLM
    tokenizer: PreTrainedTokenizerBase
    corpus: PackedCorpus
    store: ScoreStore | None
    teacher: SparseMaskedLM | None
    predictions: PredictionStore | None
    accelerator: Accelerator
    folder: Path
    emit: Emit
    should_stop: Callable[[], bool]
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        pretraining, accelerator = self.spec.pretraining, self.accelerator
        self.batches = Batches(
            self.corpus.train,
            pretraining.batch_size,
            self.spec.seed,
            accelerator.process_index,
            accelerator.num_processes,
            words=None if self.spec.masking.unit == "token" else self.corpus.train_words,
        )
        self.schedule = Schedule.of(pretraining, len(self.corpus.train))
        self.masker = Masker(self.spec.masking, self.tokenizer, seed=self.spec.seed)
        inputs = Inputs(
            self.spec.masking,
            self.model,
            self.teacher,
            self.corpus,
            self.tokenizer,
            self.store,
            self.masker,
            accelerator,
            self.folder.with_name("scores"),
            self.spec.seed,
            batch_size=pretraining.batch_size,
            rows_at_once=-(-pretraining.batch_size // pretraining.gradient_accumulation),
        )
        self.scores = batch_scores(inputs)
        self.agreement = (
            CacheAgreement(inputs, self.scores) if isinstance(self.scores, CachedScores) else None
        )
        self.distiller = (
            Distiller(
                self.spec.distillation,
                self.teacher,
                self.predictions,
                self.masker.mask_id,
                accelerator,
            )
            if self.spec.distillation is not None
            else None
        )
        self.cost = Cost.of(self.model, pretraining.sequence_length)
        self.validation = CommonValidation(
            self.corpus.train, self.corpus.validation, self.corpus.counts, self.tokenizer
        )
        self.diagnostics = MaskDiagnostics(
            len(self.corpus.train), pretraining.sequence_length, self.corpus.counts
        )
        optimizer = torch.optim.AdamW(
            parameter_groups(self.model, pretraining.weight_decay),
            lr=pretraining.learning_rate,
            fused=True,
        )
        self.replica, self.optimizer = accelerator.prepare(self.model, optimizer)
        self._plateau_every = max(1, pretraining.evaluate_every // 5)
        self._checkpoint_step: int | None = None

    def run(self) -> Progress:
        """Trains until the budget is spent.

        Raises:
            Interrupted: `should_stop` said so; a checkpoint of the step is on the disk.
            NonFiniteLossError: the loss is not finite.
        """
        state, schedule, accelerator = self.progress, self.schedule, self.accelerator
        started, start_seconds, start_step = time.perf_counter(), state.seconds, state.step
        self.unreported = torch.tensor(
            [state.unreported_loss, *state.unreported_parts], device=accelerator.device
        )
        self.replica.train()
        while schedule.fraction(state.step, state.seconds) < 1:
            if self._sum_over_processes(float(self.should_stop())) > 0:
                self.checkpoint()
                raise Interrupted
            rate = schedule.rate(state.step, state.seconds)
            self.unreported += self.step(rate)
            state.step += 1
            state.seconds = start_seconds + time.perf_counter() - started
            if schedule.total_steps is None:  # all processes must stop at the same step
                state.seconds = self._of_main_process(state.seconds)
            if state.step % _LOG_EVERY == 0:
                means = (self._summed(self.unreported) / _LOG_EVERY).tolist()
                self.log(means, rate, start_step, start_seconds)
                self.unreported.zero_()
            self.look()
            if state.step % self.spec.pretraining.checkpoint_every == 0:
                self.checkpoint()
        if self._checkpoint_step != state.step:
            self.checkpoint()
        self.scores.close()
        return state

    def step(self, rate: float) -> Tensor:
        """One optimizer step.

        Returns:
            [3]: this process's share of the batch's mean loss and, where distilled, of the
            cross-entropy and KL(teacher || student) that it is made of, else 0. The shares of all
            processes add up to the means.
        """
        state, accelerator = self.progress, self.accelerator
        batch = self.batches[state.step]
        # Dropout is a function of seed and step, so that a resumed run needs no saved generator.
        torch.manual_seed(_mix(self.spec.seed, state.step, accelerator.process_index))
        on = self.strategy_is_on()
        scores = self.scores(batch) if on else None
        fraction = self.schedule.fraction(state.step, state.seconds)
        inputs, labels = self.masker(
            batch.rows, batch.row_ids, batch.epoch, scores, words=batch.words, progress=fraction
        )
        maskable = self.masker.maskable(batch.rows)
        if on:
            self.count_masks(batch, labels)
        if scores is not None and self.spec.masking.select in HARD_SELECTIONS:
            where = (batch.rows, batch.row_ids, batch.epoch)
            ties = self.masker.ties(*where, scores, words=batch.words, progress=fraction)
            decided, selected = (round(self._sum_over_processes(count)) for count in ties)
            self.diagnostics.count_ties(decided, selected)
        loss, predicted, compared = self.gradients(batch, inputs, labels, maskable)
        if self.spec.pretraining.gradient_clipping is not None:
            accelerator.clip_grad_norm_(
                self.replica.parameters(), self.spec.pretraining.gradient_clipping
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scores.stepped()
        tokens = self.spec.pretraining.batch_size * batch.rows.shape[1]
        state.flops += self.cost.training(tokens, max(predicted, compared))
        if on:
            state.flops += self.scores.flops(self.cost, tokens)
        if self.distiller is not None:
            state.flops += self.distiller.flops(tokens, compared, batch.rows.shape[1])
        state.masked_tokens += predicted
        return loss

    def count_masks(self, batch: Batch, labels: Tensor) -> None:
        """Shows the diagnostics the masks of the whole batch; labels: [b, T] of this process."""
        rows, row_ids, labels = (
            gather_rows(self.accelerator, part, self.spec.pretraining.batch_size)
            for part in (batch.rows, batch.row_ids, labels)
        )
        self.diagnostics.update(rows, row_ids, batch.epoch, labels, self.masker.maskable(rows))

    def gradients(
        self, batch: Batch, inputs: Tensor, labels: Tensor, maskable: Tensor
    ) -> tuple[Tensor, int, int]:
        """The gradients of a batch, part by part.

        Returns:
            [3] as of `step`; over all processes, how many positions are predicted, and at how many
            the teacher is compared with.
        """
        device = self.accelerator.device
        total = round(self._sum_over_processes(int((labels >= 0).sum())))
        tasks, compared = None, 0
        if self.distiller is not None:
            where = self.distiller.positions(inputs, labels, maskable)
            compared = round(self._sum_over_processes(int(where.sum())))
            tasks = self.distiller.tasks(batch.row_ids, labels, where, total, compared)
        also = self.scores.also(batch, labels)
        size = -(-len(inputs) // self.spec.pretraining.gradient_accumulation)
        loss, found = torch.zeros(3, device=device), []
        for start in range(0, len(inputs), size):
            rows = slice(start, start + size)
            x, y = inputs[rows].to(device), labels[rows].to(device)
            more = None if also is None else also[rows].to(device)
            # Gradients are summed over the processes once, with the last part.
            waits = start + size < len(inputs)
            with self.accelerator.no_sync(self.replica) if waits else nullcontext():
                task = None if tasks is None else tasks(x, rows)
                prediction = self.backward(x, y, more, total, task)
            found.append(prediction)
            if task is None:
                loss[0] += prediction.loss / max(1, total)
            else:
                loss += task.means(prediction)
        self.scores.learn(batch, inputs, labels, found)
        return loss, total, compared

    def _summed(self, value: Tensor) -> Tensor:
        return sum_over_processes(self.accelerator, value)

    def _sum_over_processes(self, value: float) -> float:
        if self.accelerator.num_processes == 1:
            return value
        own = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return float(self._summed(own))

    def _of_main_process(self, value: float) -> float:
        """So that what follows from a figure is the same on machines that round differently."""
        return self._sum_over_processes(value if self.accelerator.is_main_process else 0.0)

    def backward(
        self,
        inputs: Tensor,
        labels: Tensor,
        also: Tensor | None,
        total: int,
        task: DistillationTask | None,
    ) -> Prediction:
        """Adds the gradient of a part of the batch; `total` predictions make the batch."""
        with self.accelerator.autocast():
            prediction: Prediction = self.replica(
                inputs, labels, self.scores.statistics, also, task
            )
        # DistributedDataParallel averages gradients over processes; the mean over predictions
        # needs their sum.
        scale = self.accelerator.num_processes / (max(1, total) if task is None else 1)
        self.accelerator.backward(prediction.loss * scale)
        return prediction._replace(loss=prediction.loss.detach())

    def strategy_is_on(self) -> bool:
        """False in the warm-up, while masks are uniform."""
        state, warmup = self.progress, self.spec.masking.warmup
        if warmup == "plateau":
            on = state.plateau_exit_step is not None
        else:
            on = self.schedule.fraction(state.step, state.seconds) >= float(warmup or 0)
        if on and state.strategy_start_step is None:
            state.strategy_start_step = state.step
        return on

    def log(self, losses: list[float], rate: float, start_step: int, start_seconds: float) -> None:
        """Reports the mean loss of the last steps; stops a run that has diverged."""
        state, pretraining = self.progress, self.spec.pretraining
        loss, cross_entropy, divergence = losses
        if loss != loss or abs(loss) == float("inf"):
            raise NonFiniteLossError(
                f"the training loss is {loss} at step {state.step}",
                f"lower pretraining.learning_rate ({pretraining.learning_rate:g}), lengthen "
                "pretraining.warmup, or use precision: fp32",
            )
        tokens = pretraining.batch_size * pretraining.sequence_length
        seconds = max(1e-9, state.seconds - start_seconds)
        spent = self.schedule.fraction(state.step, state.seconds)
        first = self.schedule.fraction(start_step, start_seconds)
        self.emit(
            "progress",
            step=state.step,
            total=self.schedule.total_steps,
            metrics={
                "training_loss": loss,
                "learning_rate": rate,
                "tokens": state.step * tokens,
                "tokens_per_second": (state.step - start_step) * tokens / seconds,
                "eta_seconds": seconds * (1 - spent) / max(1e-9, spent - first),
                "fraction": spent,
                "flops": state.flops,
                "seconds": state.seconds,
            }
            | (
                {"cross_entropy": cross_entropy, "distillation_divergence": divergence}
                if self.distiller is not None
                else {}
            ),
        )

    def look(self) -> None:
        """Common validation when it is due, more often until the plateau is left."""
        state = self.progress
        due = state.step % self.spec.pretraining.evaluate_every == 0
        if not due and (state.plateau_exit_step is not None or state.step % self._plateau_every):
            return
        measured = self.validation.measure(self.model, entropy=due)
        loss = self._of_main_process(measured.loss)
        unigram_loss = self.validation.unigram_loss
        if state.plateau_exit_step is None and loss < unigram_loss - PLATEAU_MARGIN:
            state.plateau_exit_step = state.step
            self.emit(
                "plateau",
                step=state.step,
                total=self.schedule.total_steps,
                message=f"left the unigram plateau: common loss {loss:.3f}, unigram loss "
                f"{unigram_loss:.3f}",
            )
        if due:
            metrics = {
                "validation_loss": loss,
                "validation_entropy": measured.entropy,
                "unigram_loss": unigram_loss,
            }
            if self.strategy_is_on():
                metrics |= self.diagnostics.window() | self._agreement()
            self.emit("metrics", step=state.step, total=self.schedule.total_steps, metrics=metrics)
            self._remember(measured, metrics)

    def _agreement(self) -> dict[str, float]:
        if self.agreement is None:
            return {}
        spent = self.schedule.fraction(self.progress.step, self.progress.seconds)
        found = self.agreement.measure(self.progress.step // self.batches.per_epoch, spent)
        self.progress.cache_agreement.append({"step": self.progress.step, **found})
        return found

    def _remember(self, measured: Measured, metrics: dict[str, float | None]) -> None:
        """The histogram of the predictions' entropy, and the first sign of a collapse."""
        state = self.progress
        histogram = {"entropy": measured.histogram, "highest": measured.highest}
        state.entropy_histograms.append({"step": state.step, "shares": measured.histogram})
        self.emit("histogram", step=state.step, total=self.schedule.total_steps, metrics=histogram)
        ratio = metrics.get("effective_type_ratio")
        if state.collapse_step is None and ratio is not None and ratio < COLLAPSED:
            state.collapse_step, state.collapse_type_ratio = state.step, ratio

    def checkpoint(self) -> None:
        """Writes a checkpoint on the main process; keeps the last two and the best.

        It is a plain Hugging Face folder as well, so that others can look at the model meanwhile.
        """
        state = self.progress
        unreported = self._summed(self.unreported)  # waits for the other processes
        self._checkpoint_step = state.step
        if not self.accelerator.is_main_process:
            return
        state.unreported_loss, *parts = unreported.tolist()
        state.unreported_parts = (parts[0], parts[1])
        loss = self.validation.loss(self.model)
        if state.best_loss is None or loss < state.best_loss:
            state.best_loss, state.best_step = loss, state.step
        tensors = {
            "model": model_tensors(self.model),
            "optimizer": optimizer_tensors(self.optimizer),
            "diagnostics": self.diagnostics.state(),
        }
        if scores := self.scores.tensors():
            tensors["scores"] = scores
        scaler = self.accelerator.scaler
        extra = {"scaler": scaler.state_dict()} if scaler is not None else {}
        save_checkpoint(
            self.folder,
            state.step,
            tensors,
            asdict(state) | extra | {"common_loss": loss},
            lambda place: save_without_weights(self.model.model, self.tokenizer, place),
        )
        # One more than promised: what to fall back on when the last is damaged.
        last_two = {step_of(path) for path in checkpoints(self.folder)[:2]}
        prune(self.folder, last_two | {state.best_step or 0})
        self.emit(
            "checkpoint",
            step=state.step,
            total=self.schedule.total_steps,
            metrics={"validation_loss": loss},
        )

    def keep_last_and_best(self) -> None:
        """What stays of the checkpoints once the run has ended."""
        found = checkpoints(self.folder)
        prune(self.folder, {step_of(found[0]), self.progress.best_step or 0} if found else set())

    def resume(self) -> bool:
        """Goes back to the latest whole checkpoint; False when there is none."""
        loaded = load_latest(
            self.folder, on_damage=lambda message: self.emit("warning", message=message)
        )
        if loaded is None:
            return False
        tensors, state = loaded
        own = model_tensors(self.model)
        with torch.no_grad():
            for name, tensor in tensors["model"].items():
                own[name].copy_(tensor)
        load_optimizer(self.optimizer, tensors["optimizer"])
        self.diagnostics.load_state(tensors["diagnostics"])
        if "scores" in tensors:
            self.scores.load(tensors["scores"])
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        known: dict[str, Any] = {
            name: state[name] for name in asdict(self.progress) if name in state
        }
        self.progress = Progress(**known)
        self._checkpoint_step = self.progress.step
        if not self.accelerator.is_main_process:  # the main process has those of all
            self.progress.unreported_loss, self.progress.unreported_parts = 0.0, (0.0, 0.0)
        self.accelerator.wait_for_everyone()
        return True


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; biases and norms without."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _mix(seed: int, step: int, process: int) -> int:
    """A seed for one step of one process (the constants are odd, so that no two steps agree)."""
    mixed = seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + process * 0x94D049BB133111EB
    return mixed & 0x7FFF_FFFF_FFFF_FFFF
