"""The demonstration: three masking strategies, on text and tasks that need no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entromask.client import Client
    from entromask.resources import Run

# Large enough that every run leaves the unigram plateau, small enough for minutes on two cores.
SIZES: dict[str, Any] = {
    "max_tokens": 400_000,
    "vocab_size": 2048,
    "sequence_length": 64,
    "batch_size": 16,
    "steps": 1200,
    "learning_rate": 2e-3,
    "evaluate_every": 100,
    "fine_tuning_seeds": [0, 1],
}

TAG = "demo"
TEACHER = "random"
# In the order in which they are shown; the random run is the teacher of the second.
PRESETS = (TEACHER, "teacher-masked-entropy-sample", "self-entropy-sample")


def demo_spec(preset: str, teacher: str | None) -> dict[str, Any]:
    """One of the demo's runs; `teacher` is the id of the random run, where the preset asks it."""
    return {
        "name": preset,
        "tags": [TAG],
        "corpus": {"source": "builtin", "max_tokens": SIZES["max_tokens"]},
        "tokenizer": {"source": "train", "vocab_size": SIZES["vocab_size"]},
        "model": {"architecture": "modernbert", "size": "tiny"},
        "teacher": {"run": teacher} if preset.startswith("teacher") else None,
        "masking": {"preset": preset},
        "pretraining": {
            "budget": {"steps": SIZES["steps"]},
            "batch_size": SIZES["batch_size"],
            "sequence_length": SIZES["sequence_length"],
            "learning_rate": SIZES["learning_rate"],
            "evaluate_every": SIZES["evaluate_every"],
        },
        "evaluation": {
            "tasks": ["demo-order", "demo-pair"],
            "seeds": SIZES["fine_tuning_seeds"],
        },
    }


def submit_demo(client: Client) -> list[Run]:
    """Queues the runs and returns them; those that an earlier demo made are taken up again.

    Raises:
        EntromaskError: the service cannot be reached or refuses.
    """
    runs: list[Run] = []
    for preset in PRESETS:
        runs.append(_run(client, demo_spec(preset, runs[0].id if runs else None)))
    return runs


def _run(client: Client, spec: dict[str, Any]) -> Run:
    spec_hash = client.validate_run(spec).spec_hash
    for run in client.list_runs(tag=TAG):
        if run.spec_hash == spec_hash:
            again = {"cancelled": client.resume, "failed": client.retry}.get(run.status)
            return again(run) if again else run
    return client.create_run(spec)
