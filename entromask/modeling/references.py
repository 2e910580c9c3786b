"""Loads the masked language model that a spec refers to: a run, a folder, or a name on the Hub."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM
from transformers.utils import logging as transformers_logging

from entromask.errors import InputError
from entromask.hub import hub_errors
from entromask.modeling.masked_lm import SparseMaskedLM, check_projection
from entromask.spec import ModelReference, run_folder

_HINT = "give a folder saved by AutoModelForMaskedLM, with config.json and model.safetensors"


def model_source(reference: ModelReference) -> str:
    """The folder, or the Hub's name, that holds the model and its tokenizer.

    Raises:
        InputError: a run or a folder that is not there, or that holds no model.
    """
    if reference.hub is not None:
        return reference.hub
    if reference.run is not None:
        folder = run_folder(reference.run) / "model"
        if not (folder / "config.json").is_file():
            raise InputError(
                f"run {reference.run} has no finished model: {folder} holds no config.json",
                "let the run finish, or `entromask run … --resume` it",
            )
        return str(folder)
    folder = Path(str(reference.path)).expanduser()
    if not folder.is_dir():
        raise InputError(f"no model folder {folder}", _HINT)
    if not (folder / "config.json").is_file():
        inside = folder / "model" / "config.json"
        hint = f"did you mean {folder / 'model'}?" if inside.is_file() else _HINT
        raise InputError(f"{folder} holds no config.json", hint)
    return str(folder)


def load_masked_lm(reference: ModelReference) -> SparseMaskedLM:
    """The referenced model in float32 on the CPU.

    Weights are read from safetensors only, and no code of the repository is run.

    Raises:
        InputError: not a masked language model, no safetensors, or damaged weights.
        DependencyMissingError: on the Hub, and the Hub cannot be reached.
    """
    source = model_source(reference)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with hub_errors(f"the model {source}"):
            model, report = AutoModelForMaskedLM.from_pretrained(
                source,
                revision=reference.revision or "main",
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="sdpa",
                dtype=torch.float32,
                output_loading_info=True,
            )
    except InputError:
        raise
    except Exception as error:  # transformers raises many types for a folder it cannot use
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{source} cannot be loaded as a masked LM: {reason}", _HINT) from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"{source} is not a masked language model: it has no weights for {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
            _HINT,
        )
    sparse = SparseMaskedLM(model)
    check_projection(sparse)
    return sparse
