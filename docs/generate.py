"""Writes the references in docs/ from the code: spec keys, settings, strategies, commands.

`make docs` runs it; a test fails when what it would write differs from what is there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import typer

from entromask import spec
from entromask.cli import app
from entromask.presets import MASKING_PRESETS, PROTOCOLS, SIZES
from entromask.settings import Settings

FOLDER = Path(__file__).parent

# The parts of a spec in reading order: where they stand, and what selects them.
PARTS: tuple[tuple[str, type[spec.Part]], ...] = (
    ("", spec.RunSpec),
    ("corpus", spec.BuiltinCorpus),
    ("corpus", spec.LocalCorpus),
    ("corpus", spec.HubCorpus),
    ("corpus", spec.UploadCorpus),
    ("tokenizer", spec.TrainedTokenizer),
    ("tokenizer", spec.LocalTokenizer),
    ("tokenizer", spec.HubTokenizer),
    ("model", spec.Model),
    ("teacher", spec.ModelReference),
    ("masking", spec.Masking),
    ("masking.rate", spec.RateSchedule),
    ("masking.corruption", spec.Corruption),
    ("distillation", spec.Distillation),
    ("pretraining", spec.Pretraining),
    ("pretraining.budget", spec.Budget),
    ("evaluation", spec.Evaluation),
    ("evaluation.source", spec.TaskSource),
)

# What a key means where spec.py does not say it beside the key.
MEANINGS: dict[str, str] = {
    "RunSpec.name": "shown in tables; no part of the method",
    "RunSpec.tags": "free words, to find runs by",
    "RunSpec.corpus": "the text",
    "RunSpec.model": "the encoder to pretrain",
    "RunSpec.teacher": "a pretrained masked LM with the same tokenizer, for teacher-* masking",
    "RunSpec.masking": "which tokens are predicted",
    "RunSpec.distillation": "not available yet",
    "RunSpec.pretraining": "budget, batches, optimizer",
    "RunSpec.evaluation": "tasks and fine-tuning",
    "BuiltinCorpus.source": "`builtin`",
    "LocalCorpus.source": "`local`",
    "LocalCorpus.max_tokens": "use at most this many training tokens",
    "HubCorpus.source": "`hub`",
    "HubCorpus.name": "a data set's name, for example `Salesforce/wikitext`",
    "HubCorpus.config": "its configuration, for example `wikitext-103-raw-v1`",
    "HubCorpus.split": "the split to train on",
    "HubCorpus.column": "its text column",
    "HubCorpus.max_tokens": "use at most this many training tokens",
    "UploadCorpus.source": "`upload`; not available yet",
    "UploadCorpus.id": "an uploaded corpus",
    "UploadCorpus.max_tokens": "use at most this many training tokens",
    "TrainedTokenizer.source": "`train`",
    "TrainedTokenizer.vocab_size": "types, special tokens included",
    "LocalTokenizer.source": "`local`",
    "LocalTokenizer.path": "a folder with tokenizer.json, or with vocab.txt and its configuration",
    "HubTokenizer.source": "`hub`",
    "HubTokenizer.name": "a model's or a tokenizer's name",
    "HubTokenizer.revision": "a branch, tag or commit",
    "Model.init": "`scratch`, or a model reference to continue from: `{path}`, `{run}` or `{hub}`",
    "RateSchedule.schedule": "not available yet",
    "RateSchedule.start": "rate of the first step",
    "RateSchedule.end": "rate of the last step",
    "Masking.preset": "a named composition; every other part overrides it",
    "Masking.score": "what a position is scored by",
    "Masking.source": "who gives the scores",
    "Masking.view": "entropy with the token seen, or hidden",
    "Masking.refresh": "a forward pass each step, or stored scores",
    "Masking.select": "which scores are taken",
    "Masking.unit": "what is masked as a whole",
    "Masking.corruption": "what the model sees in a selected place",
    "Distillation.weight": "share of the distillation loss",
    "Distillation.temperature": "of teacher and student",
    "Distillation.positions": "where the distributions are compared",
    "Distillation.top_k": "teacher logits kept, the tail in one bucket",
    "Budget.steps": "optimizer steps",
    "Budget.epochs": "passes over the training rows",
    "Budget.tokens": "input tokens seen",
    "Budget.minutes": "wall clock; not reproducible",
    "Pretraining.budget": "how long",
    "Pretraining.sequence_length": "tokens of a row, special tokens included",
    "Pretraining.learning_rate": "peak, AdamW",
    "Pretraining.weight_decay": "AdamW",
    "Pretraining.precision": "`auto`: what the hardware is fast at",
    "Evaluation.tasks": "task names; none: no evaluation",
    "Evaluation.protocol": "a row of the table of protocols",
}

HEADER = "<!-- Written by docs/generate.py (make docs); edit the code instead. -->\n\n"


def meaning(part: type[spec.Part], key: str) -> str:
    """What a key means: its description in spec.py, or the table above."""
    return part.model_fields[key].description or MEANINGS[f"{part.__name__}.{key}"]


def schema() -> str:
    return json.dumps(spec.RunSpec.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def runspec() -> str:
    lines = [
        "# RunSpec\n",
        "One YAML or JSON file describes a run. Every key has a default, except where one is "
        "*required*; an empty file is a valid spec. `entromask schema` prints the same as JSON "
        "Schema ([runspec.schema.json](runspec.schema.json)), which editors can check against.\n",
    ]
    for where, part in PARTS:
        title = where or "The spec"
        if "source" in part.model_fields and where in ("corpus", "tokenizer"):
            title += f", source: {_allowed(_properties(part)['source'])}"
        lines += [f"## {title}\n", f"{(part.__doc__ or '').strip()}\n"]
        lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        for key, field in part.model_fields.items():
            default = (
                "*required*"
                if field.is_required()
                else _default(field.get_default(call_default_factory=True))
            )
            allowed = _allowed(_properties(part)[key])
            name = f"{where}.{key}" if where else key
            lines.append(f"| `{name}` | {default} | {allowed} | {_cell(meaning(part, key))} |")
        lines.append("")
    return HEADER + "\n".join(lines)


def _properties(part: type[spec.Part]) -> dict[str, Any]:
    found: dict[str, Any] = part.model_json_schema()["properties"]
    return found


def _default(value: Any) -> str:
    if isinstance(value, spec.Part):
        return "see below"
    return f"`{json.dumps(value)}`"


def _allowed(schema: dict[str, Any]) -> str:
    """The allowed values of a JSON Schema in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            words = dict.fromkeys(_allowed(option) for option in schema[union])
            return ", ".join(words)
    if "$ref" in schema:
        return "a group of keys"
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_allowed(schema['items'])}"
    words = {"string": "text", "null": "`null`", "boolean": "`true`, `false`"}.get(kind, kind)
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[name]:.10g}" for name, sign in limits.items() if name in schema]
    return " ".join([words, " and ".join(bounds)]).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def settings() -> str:
    lines = [
        "# Settings\n",
        "Environment variables of one machine; what describes a run is in its "
        "[spec](runspec.md).\n",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for key, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(
            f"| `ENTROMASK_{key.upper()}` | {default} | {_cell(field.description or '')} |"
        )
    return HEADER + "\n".join([*lines, ""])


def strategies() -> str:
    lines = [
        "# Strategies and other tables\n",
        "## Masking presets\n",
        "A preset is a composition of `score x source x view x refresh x selection x unit x rate "
        "x corruption`; any part may be overridden beside it. No preset is called the paper's "
        "setting: the paper leaves the view, the selection rules and the corruption open.\n",
        "| preset | what it masks | parts |",
        "|---|---|---|",
    ]
    for name, preset in MASKING_PRESETS.items():
        parts = ", ".join(f"{key}: {json.dumps(value)}" for key, value in preset.parts.items())
        later = "" if preset.available else " *Not available yet.*"
        lines.append(f"| `{name}` | {_cell(preset.description)}{later} | {_cell(parts)} |")
    lines += ["\n## Model sizes\n", "| size | layers | width | heads | feed-forward |"]
    lines.append("|---|---|---|---|---|")
    for name, size in SIZES.items():
        lines.append(
            f"| `{name}` | {size.layers} | {size.width} | {size.heads} | {size.feed_forward} |"
        )
    lines += ["\n## Fine-tuning protocols\n"]
    fields = list(next(iter(PROTOCOLS.values())).__dataclass_fields__)
    lines.append("| protocol | " + " | ".join(field.replace("_", " ") for field in fields) + " |")
    lines.append("|---" * (len(fields) + 1) + "|")
    for name, protocol in PROTOCOLS.items():
        values = " | ".join(str(getattr(protocol, field)) for field in fields)
        lines.append(f"| `{name}` | {values} |")
    return HEADER + "\n".join([*lines, ""])


def commands() -> str:
    lines = [
        "# Commands\n",
        "Exit codes: 0 done, 1 failed, 2 usage or invalid spec, 130 cancelled. An expected failure "
        "is one sentence and a hint on stderr.\n",
    ]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        usage = " ".join(re.sub(r"\W", "", str(p.metavar or p.name)).upper() for p in arguments)
        lines += [f"## entromask {name} {usage}".rstrip() + "\n", f"{command.help}\n"]
        if arguments or options:
            lines += ["| | |", "|---|---|"]
        for parameter in arguments:
            lines.append(f"| {usage} | {_cell(parameter.help or '')} |")
        for parameter in options:
            names = ", ".join(f"`{option}`" for option in parameter.opts)
            lines.append(f"| {names} | {_cell(parameter.help or '')} |")
        lines.append("")
    return HEADER + "\n".join(lines)


FILES = {
    "runspec.schema.json": schema,
    "runspec.md": runspec,
    "settings.md": settings,
    "strategies.md": strategies,
    "commands.md": commands,
}


if __name__ == "__main__":
    for name, write in FILES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
