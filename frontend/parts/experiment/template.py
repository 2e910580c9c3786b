"""What the text of a new experiment begins with: an example, a run, or another experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entromask.resources import Run
from frontend.parts.submit.spec_short import shortened
from frontend.parts.submit.spec_text import Document, changed, dump

# Minutes on a CPU, no file, no network.
EXAMPLE = """\
# Methods x seeds, each method against the baseline.
name: first experiment
description: Does self-entropy masking beat random masking?

base:   # what all runs share: keys of a run
  corpus: {source: builtin, max_tokens: 200000}
  tokenizer: {source: train, vocab_size: 2048}
  model: {architecture: modernbert, size: tiny}
  pretraining:
    budget: {steps: 600}
    batch_size: 16
    sequence_length: 64
    learning_rate: 2.0e-3
  evaluation: {tasks: [demo-order, demo-pair], seeds: [0, 1]}

methods:   # by name, the keys that a method sets
  random: {masking.preset: random}
  self-entropy: {masking.preset: self-entropy-sample}
# Beside or in place of methods, every combination of:
# matrix: {masking.rate: [0.15, 0.3]}

seeds: [0, 1, 2]   # of pretraining
baseline: random   # what the others are compared with

controls:   # without which a difference says little
  no_pretraining: true   # the floor
  frequency: true        # masks by corpus frequency
  equal_compute: true    # random masking, as costly
"""

# What a method chooses, and what is of the one run alone.
_NOT_SHARED = ("name", "seed", "tags", "masking")


def with_base(document: Document, run: Run) -> str:
    """The text with what a run shares with others as its base; the rest of it stays."""
    spec = shortened(run.spec)
    base = {key: value for key, value in spec.items() if key not in _NOT_SHARED}
    return changed(document, ("base",), base)


def of_experiment(spec: Mapping[str, Any]) -> str:
    """The text of an experiment that exists, without the keys that say nothing."""
    return dump({key: value for key, value in spec.items() if value not in ("", {}, None)})
