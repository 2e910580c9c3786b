"""One model at a time is loaded in a process."""

from __future__ import annotations

import threading

# While `from_pretrained` runs, transformers replaces functions of its own for the whole process,
# `PreTrainedModel.tie_weights` among them. Two threads at once put back each other's
# replacements: models that are made later have weights that are not tied.
LOADING = threading.RLock()
