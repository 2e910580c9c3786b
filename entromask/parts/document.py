"""A description that stands alone in a YAML or JSON file: of a run, or of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import ValidationError

from entromask.parts.base import Part
from entromask.spec_errors import SpecError, describe, problems
from entromask.yaml_file import apply_override, read_yaml

# libyaml's writes the same bytes, five times as fast, where PyYAML was built with it.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Document(Part):
    """What `parse` and `load` read, and `to_yaml` writes.

    Attributes:
        WHAT: it is, in messages about data from no file.
        EXAMPLE: a file to start from.
        HINT: where all keys are told.
    """

    WHAT: ClassVar[str]
    EXAMPLE: ClassVar[str]
    HINT: ClassVar[str]

    @classmethod
    def parse(cls, data: Any, origin: str | None = None) -> Self:
        """From plain data; what only shows when it is resolved, or planned, is not checked.

        Raises:
            SpecError: keys or values that are not allowed; `origin` says where they stand.
        """
        origin = origin or cls.WHAT
        if not isinstance(data, dict):
            raise SpecError.at(
                (),
                f"{origin} holds {type(data).__name__}, not a mapping of keys to values",
                f"start from {cls.EXAMPLE}",
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            message = f"{origin}: {describe(error)}"
            raise SpecError(message, cls.HINT, problems(error)) from None

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | None = None) -> Self:
        """From a YAML or JSON file, with overrides such as `pretraining.budget.steps=10`.

        Raises:
            InputError: the file is missing or not YAML, or `parse` refuses its content.
        """
        data = read_yaml(Path(path))
        for override in overrides or ():
            apply_override(data, override)
        return cls.parse(data, str(path))

    def data(self) -> dict[str, Any]:
        """As plain data, every key present."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        return yaml.dump(self.data(), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
