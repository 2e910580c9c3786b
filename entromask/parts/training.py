"""How long and how a run pretrains."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from entromask.parts.base import Part, Share, exactly_one

CACHED_TOP_K = 16


class Distillation(Part):
    """L = (1 - weight) L_mlm + weight T^2 KL(teacher_T || student_T), each a mean per token."""

    weight: float = Field(0.5, gt=0, le=1, description="share of the distillation loss")
    temperature: float = Field(2.0, gt=0, description="of teacher and student")
    positions: Literal["masked", "all"] = Field(
        "masked", description="where the distributions are compared"
    )
    top_k: int | None = Field(
        None,
        ge=1,
        description="teacher probabilities kept at a position, the tail in one bucket; default: "
        "all of them, 16 with `cached`",
    )
    refresh: Literal["fresh", "cached"] = Field(
        "fresh",
        description="`cached`: the teacher predicts each position of the corpus once, behind a "
        "mask, in place of a forward pass each step",
    )

    def resolved(self) -> Distillation:
        """The same with every default written out."""
        if self.refresh == "cached" and self.top_k is None:
            return self.model_copy(update={"top_k": CACHED_TOP_K})
        return self


class Budget(Part):
    """How long to pretrain: exactly one of the four."""

    steps: int | None = Field(
        None, ge=0, description="optimizer steps; 0: random weights, the floor of every method"
    )
    epochs: float | None = Field(None, gt=0, description="passes over the training rows")
    tokens: int | None = Field(None, ge=1, description="input tokens seen")
    minutes: float | None = Field(None, gt=0, description="wall clock; not reproducible")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("steps", "epochs", "tokens", "minutes"))
        return self


class Pretraining(Part):
    """AdamW with linear warm-up and decay on packed rows."""

    budget: Budget = Field(Budget(steps=3000), description="how long")
    batch_size: int = Field(64, ge=1, description="rows of one optimizer step, over all devices")
    sequence_length: int = Field(
        128, ge=8, le=8192, description="tokens of a row, special tokens included"
    )
    learning_rate: float = Field(1e-3, gt=0, description="peak, AdamW")
    warmup: Share = Field(0.06, description="share of the budget")
    weight_decay: float = Field(0.01, ge=0, description="AdamW")
    gradient_accumulation: int = Field(
        1, ge=1, description="parts that a batch is split into; does not change its size"
    )
    gradient_clipping: float | None = Field(1.0, gt=0, description="largest gradient norm")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="`auto`: what the hardware is fast at"
    )
    checkpoint_every: int = Field(500, ge=1, description="steps")
    evaluate_every: int = Field(250, ge=1, description="steps")

    @model_validator(mode="after")
    def _whole_parts(self) -> Self:
        if self.gradient_accumulation > self.batch_size:
            raise PydanticCustomError(
                "accumulation",
                "gradient_accumulation ({parts}) cannot exceed batch_size ({rows})",
                {"parts": self.gradient_accumulation, "rows": self.batch_size},
            )
        return self
