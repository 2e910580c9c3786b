"""Writes the references in docs/ from the code: spec keys, settings, strategies, commands, API.

`make docs` runs it; a test fails when what it would write differs from what is there.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from backend.app import create_app
from entromask import spec
from entromask.cli import app
from entromask.experiments import ExperimentSpec
from entromask.parts.user_task import UserTask
from entromask.presets import MASKING_PRESETS, PROTOCOLS, SIZES
from entromask.settings import Settings

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))  # also where a test loads this file

from strategy_results import measured  # noqa: E402

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
    ("evaluation.user_tasks.NAME", UserTask),
)

HEADER = "<!-- Written by docs/generate.py (make docs); edit the code instead. -->\n\n"


def schema() -> str:
    return json.dumps(spec.RunSpec.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def experiment_schema() -> str:
    return json.dumps(ExperimentSpec.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


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
            meaning = _cell(field.description or "")
            lines.append(f"| `{name}` | {default} | {allowed} | {meaning} |")
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


def _setting(value: Any) -> str:
    """A field of a protocol; what it does not use is a dash."""
    if isinstance(value, bool):
        return "yes" if value else "-"
    if isinstance(value, tuple):
        return ", ".join(f"{number:.3g}" for number in value) or "-"
    return "-" if value is None else str(value)


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
        lines.append(f"| `{name}` | {_cell(preset.description)} | {_cell(parts)} |")
    lines.append("\n## Model sizes\n")
    lines.append("| size | layers | width | heads | feed-forward | fine-tuning rate of `fixed` |")
    lines.append("|---|---|---|---|---|---|")
    for name, size in SIZES.items():
        rate = PROTOCOLS["fixed"].learning_rate_of(size.width)
        lines.append(
            f"| `{name}` | {size.layers} | {size.width} | {size.heads} | {size.feed_forward} "
            f"| {rate:g} |"
        )
    lines += ["\n## Fine-tuning protocols\n"]
    lines += [f"- `{name}`: {protocol.description}" for name, protocol in PROTOCOLS.items()]
    fields = list(next(iter(PROTOCOLS.values())).__dataclass_fields__)
    fields.remove("description")
    lines.append("\n| protocol | " + " | ".join(one.replace("_", " ") for one in fields) + " |")
    lines.append("|---" * (len(fields) + 1) + "|")
    for name, protocol in PROTOCOLS.items():
        settings = {field: _setting(getattr(protocol, field)) for field in fields}
        if protocol.learning_rate is None:
            settings["learning_rate"] = "by width"
        values = " | ".join(settings.values())
        lines.append(f"| `{name}` | {values} |")
    return HEADER + "\n".join([*lines, *measured(), ""])


def commands() -> str:
    lines = [
        "# Commands\n",
        "Exit codes: 0 done, 1 failed, 2 usage or invalid spec, 130 cancelled. An expected failure "
        "is one sentence and a hint on stderr.\n",
    ]
    for name, command in _all_commands(typer.main.get_command(app)):
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


def openapi() -> str:
    return json.dumps(create_app().openapi(), indent=2, ensure_ascii=False) + "\n"


def _all_commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its full name; a group before its own commands."""
    for name, command in group.commands.items():
        yield prefix + name, command
        if hasattr(command, "commands"):
            yield from _all_commands(command, f"{prefix}{name} ")


FILES = {
    "openapi.json": openapi,
    "runspec.schema.json": schema,
    "experiment.schema.json": experiment_schema,
    "runspec.md": runspec,
    "settings.md": settings,
    "strategies.md": strategies,
    "commands.md": commands,
}


if __name__ == "__main__":
    for name, write in FILES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
