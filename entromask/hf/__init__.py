"""Entropy-aware masking in the Hugging Face Trainer."""

from __future__ import annotations

from entromask.hf.collator import EntropyMaskingCollator, MaskingCallback

__all__ = ["EntropyMaskingCollator", "MaskingCallback"]
