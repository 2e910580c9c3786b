"""Entropy-aware masking in the Hugging Face Trainer."""

from __future__ import annotations

from entromask.hf.collator import EntropyMaskingCollator, MaskingCallback
from entromask.hf.trainer import MaskingTrainer

__all__ = ["EntropyMaskingCollator", "MaskingCallback", "MaskingTrainer"]
