"""What every part of a spec is: immutable, and strict about its keys."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, lt=1)]


class Part(BaseModel):
    """A part of a spec: immutable, and no key beside the ones it declares."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'{close}; allowed: {allowed}",
                        {
                            "key": str(key),
                            "close": f" (did you mean '{close[0]}'?)" if close else "",
                            "allowed": ", ".join(cls.model_fields),
                        },
                    )
        return data


def exactly_one(part: Part, names: tuple[str, ...]) -> None:
    """A problem of the part, unless exactly one of the keys is given."""
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        raise PydanticCustomError(
            "exactly_one",
            "give exactly one of {names}; given: {given}",
            {"names": ", ".join(names), "given": ", ".join(given) or "none"},
        )
