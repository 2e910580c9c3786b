"""The model card: what it tells, and metadata that the Hub's own library reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import entromask
from entromask.analysis.model_card import Interval, model_card
from entromask.spec import RunSpec
from tests.entromask.analysis import build
from tests.entromask.runs import short_evaluation, small_spec, write_corpus

ENVIRONMENT = {
    "versions": {"entromask": "0.1.0", "torch": "2.13.0"},
    "commit": "abc123",
    "corpus": {"name": "text", "fingerprint": "f1f1"},
    "rows": {"train": 2823, "validation": 222},
    "parameters": 347280,
}


def scored(**tasks: Any) -> dict[str, Any]:
    """A results.json as a run with these tasks and the fine-tuning seeds 0, 1, 2 writes it."""
    data = build.results()
    for name, metrics in tasks.items():
        means = {metric: sum(scores) / len(scores) for metric, scores in metrics.items()}
        data["tasks"][name] = {
            "score": sum(means.values()) / len(means),
            "metrics": {
                metric: {
                    "mean": means[metric],
                    "per_seed": {str(seed): score for seed, score in enumerate(scores)},
                }
                for metric, scores in metrics.items()
            },
            "rows": 277,
            "majority_floor": 0.527,
            "untrained_floor": 0.53,
        }
    return data


def spec(**parts: Any) -> RunSpec:
    return RunSpec.parse({"evaluation": {"tasks": ["rte", "mrpc"]}} | parts).resolved()


def test_a_score_is_the_mean_over_fine_tuning_seeds_with_its_deviation_and_floors() -> None:
    found = scored(
        rte={"accuracy": [0.55, 0.57, 0.56]},
        mrpc={"accuracy": [0.70, 0.72], "f1": [0.80, 0.84]},
    )
    card = model_card(spec(), found)
    assert "| GLUE rte | 56.0 ± 1.0 | 3 | 52.7 | 53.0 |" in card
    # The mean of the two metrics by seed: 0.75 and 0.78.
    assert "| GLUE mrpc | 76.5 ± 2.1 | 2 | 52.7 | 53.0 |" in card
    assert "rte: accuracy; mrpc: accuracy and f1" in card


def test_an_interval_stands_where_an_experiment_gives_one() -> None:
    found = scored(rte={"accuracy": [0.5, 0.6]}, mrpc={"accuracy": [0.7], "f1": [0.8]})
    card = model_card(spec(), found, intervals={"rte": Interval(0.52, 0.58, 5)})
    assert "| GLUE rte | 55.0 ± 7.1 | 52.0 to 58.0 (n = 5) | 2 |" in card
    assert "| GLUE mrpc | 75.0 | - | 1 |" in card
    assert "over its n pretraining seeds, one of which is this model's" in card
    assert "95 % interval" not in model_card(spec(), found)


def test_a_card_without_scores_claims_none() -> None:
    card = model_card(spec(), environment=ENVIRONMENT)
    assert "## Scores" not in card
    assert "model-index" not in card
    assert "0.3 M parameters" in card
    assert "- 2,823 rows of 128 tokens to train on, 222 held out" in card
    assert "- Fingerprint of the text: `f1f1`" in card
    assert "- Entromask 0.1.0, commit `abc123`" in card


def test_the_strategy_is_told_in_words_with_its_parts_and_its_teacher() -> None:
    card = model_card(
        spec(
            masking={"preset": "teacher-masked-entropy-sample", "rate": 0.2},
            teacher={"hub": "someone/bert"},
            tokenizer={"source": "hub", "name": "someone/bert"},
            distillation={"weight": 0.25},
        )
    )
    assert "Entropy of a teacher with the token masked: positions drawn" in card
    assert "source teacher, view masked, refresh cached, select sample, temperature 3.0" in card
    assert "rate 0.2, corruption (mask 0.8, random 0.1, keep 0.1)" in card
    assert "- Teacher: `someone/bert` on the Hugging Face Hub" in card
    assert "weight 0.25, temperature 2, at masked positions" in card


def test_limits_and_warnings_name_what_is_not_to_be_believed() -> None:
    found = scored(rte={"accuracy": [0.52]}, mrpc={"accuracy": [0.525], "f1": [0.525]})
    found["diagnostics"]["collapsed_tasks"] = ["rte"]
    found["warnings"] = ["one fine-tuning seed gives no error bar"]
    found["cost"]["tokens"] = 12_000_000
    card = model_card(spec(seed=7), found)
    assert "- one fine-tuning seed gives no error bar" in card
    assert "- One pretraining seed (7): another seed gives another model" in card
    assert "12,000,000 tokens" in card
    assert "- At or under the majority class, and so without meaning: rte." in card
    assert "- No better than the same model without pretraining: mrpc." in card


def test_a_control_without_pretraining_does_not_claim_to_be_pretrained() -> None:
    card = model_card(spec(pretraining={"budget": {"steps": 0}}))
    assert "never trained: a control without pretraining" in card
    assert "pretrained with" not in card


@pytest.mark.parametrize(
    ("corpus", "language", "data_sets"),
    [
        ({"source": "builtin"}, "en", None),
        ({"source": "local", "path": "text.txt"}, None, None),
        ({"source": "hub", "name": "someone/text"}, None, ["someone/text"]),
    ],
)
def test_the_metadata_says_what_is_known_and_no_more(
    corpus: dict[str, Any], language: str | None, data_sets: list[str] | None
) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(model_card(spec(corpus=corpus)))
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "fill-mask"
    assert card.data.tags == ["entromask", "masked-lm", "random"]
    assert card.data.language == language
    assert card.data.datasets == data_sets


def test_the_hubs_library_reads_the_scores() -> None:
    from huggingface_hub import ModelCard

    tasks = ["rte", "mrpc", "blimp", "demo-order"]
    found = scored(
        rte={"accuracy": [0.55, 0.57]},
        mrpc={"accuracy": [0.7], "f1": [0.8]},
        blimp={"accuracy": [0.61]},
        **{"demo-order": {"accuracy": [0.9]}},
    )
    text = model_card(spec(evaluation={"tasks": tasks}, name="a: 'name' | of #1"), found)
    results = ModelCard(text).data.eval_results
    assert [(one.dataset_type, one.dataset_config, one.metric_type) for one in results] == [
        ("nyu-mll/glue", "rte", "accuracy"),
        ("nyu-mll/glue", "mrpc", "accuracy"),
        ("nyu-mll/glue", "mrpc", "f1"),
        ("nyu-mll/blimp", None, "accuracy"),
        ("entromask-demo", None, "accuracy"),
    ]
    assert [one.metric_value for one in results] == [0.56, 0.7, 0.8, 0.61, 0.9]
    assert "not GLUE" in results[-1].dataset_name


@pytest.mark.slow
def test_a_run_writes_its_card_with_its_scores(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt")
    description = small_spec(corpus, evaluation=short_evaluation(tmp_path / "glue"))
    description["pretraining"] |= {"budget": {"steps": 5}}
    early: list[str] = []

    def on_event(event: dict[str, Any]) -> None:
        if event.get("message") == "evaluating":
            early.append((tmp_path / "run" / "model" / "README.md").read_text())

    entromask.run(description, tmp_path / "run", on_event=on_event)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert "## Scores" not in early[0]
    assert f"| GLUE sst2 | {100 * results['tasks']['sst2']['score']:.1f} |" in card
    assert results["spec_hash"] in card
    assert (tmp_path / "run" / "spec.yaml").read_text().strip() in card
