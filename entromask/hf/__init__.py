"""Entropy-aware masking in the Hugging Face Trainer."""

from __future__ import annotations

from entromask.hf.callback import MaskingCallback
from entromask.hf.collator import EntropyMaskingCollator
from entromask.hf.trainer import MaskingTrainer

__all__ = ["EntropyMaskingCollator", "MaskingCallback", "MaskingTrainer"]
