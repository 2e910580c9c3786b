"""Brings what a spec names on the Hub into the local caches, by the code that a run reads with."""

from __future__ import annotations

from collections.abc import Iterator

from entromask.spec import HubCorpus, HubTokenizer, ModelReference, RunSpec


def bring(spec: RunSpec) -> Iterator[str]:
    """Fetches one thing after the other and yields what is here now, in words.

    What is in the cache already is not fetched again, and needs no network.

    Args:
        spec: resolved.

    Raises:
        DependencyMissingError: the first thing that cannot be had; at once without a network.
        InputError: something is on the Hub and cannot be used, such as a task without a split.
        DiskFullError: there is no room for it.
    """
    from transformers.utils import logging as transformers_logging

    from entromask.glue.data import load_for, needed_tasks, task_on_hub
    from entromask.modeling.references import load_masked_lm
    from entromask.text.streamed import prefetch_hub_corpus
    from entromask.text.tokenizer import load_tokenizer

    transformers_logging.disable_progress_bar()
    tokenizers: dict[tuple[str, str | None], None] = {}
    if isinstance(spec.tokenizer, HubTokenizer):
        tokenizers[spec.tokenizer.name, spec.tokenizer.revision] = None
    models: dict[tuple[str, str | None], ModelReference] = {}
    for reference in (spec.model.init, spec.teacher):
        if isinstance(reference, ModelReference) and reference.hub is not None:
            models[reference.hub, reference.revision] = reference
            # A run compares the model's own tokenizer with its own.
            tokenizers[reference.hub, reference.revision] = None
    for name, revision in tokenizers:
        load_tokenizer(name, revision)
        yield f"the tokenizer '{name}'"
    for (name, _), reference in models.items():
        load_masked_lm(reference)
        yield f"the model '{name}'"
    if isinstance(spec.corpus, HubCorpus):
        yield prefetch_hub_corpus(spec.corpus)
    for name in needed_tasks(spec.evaluation):
        if task_on_hub(spec.evaluation.task(name), spec.evaluation.source):
            load_for(spec.evaluation, name)
            yield f"the task {name}"
