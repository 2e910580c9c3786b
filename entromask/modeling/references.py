"""Loads the masked language model that a reference names: a run, a folder, a name on the Hub."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM
from transformers.utils import logging as transformers_logging

from entromask.checkpoints import verify
from entromask.errors import EntromaskError, InputError
from entromask.hub import hub_errors
from entromask.modeling.folders import NEEDED, check_model_folder
from entromask.modeling.loading import LOADING
from entromask.modeling.masked_lm import SparseMaskedLM, check_projection
from entromask.modeling.sources import model_source
from entromask.spec import ModelReference

# Of a checkpoint, what only the training reads; the optimizer's state is twice as large as a model.
_OF_TRAINING = ("optimizer.safetensors", "diagnostics.safetensors", "scores.safetensors")


def load_masked_lm(reference: ModelReference) -> SparseMaskedLM:
    """The referenced model in float32 on the CPU.

    Weights are read from safetensors only, and no code of the repository is run.

    Raises:
        InputError: not there, not a masked language model, no safetensors, or damaged weights.
        DependencyMissingError: on the Hub, and the Hub cannot be reached.
    """
    source = model_source(reference)
    local = Path(source).is_dir()
    if reference.checkpoint is not None:
        _check_bytes(Path(source))
    elif local:
        check_model_folder(Path(source))
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with LOADING, nullcontext() if local else hub_errors(f"the model {source}"):
            model, report = AutoModelForMaskedLM.from_pretrained(
                source,
                revision=reference.revision or "main",
                local_files_only=local,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="sdpa",
                dtype=torch.float32,
                output_loading_info=True,
            )
    except EntromaskError:
        raise
    except Exception as error:  # transformers raises many types for a folder it cannot use
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{source} cannot be loaded as a masked LM: {reason}", NEEDED) from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"{source} is not a masked language model: it has no weights for {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
            NEEDED,
        )
    sparse = SparseMaskedLM(model)
    check_projection(sparse)
    return sparse


def _check_bytes(checkpoint: Path) -> None:
    try:
        verify(checkpoint, without=_OF_TRAINING)
    except ValueError as error:
        raise InputError(str(error), "look at another checkpoint of the run") from None
