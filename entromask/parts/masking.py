"""Which tokens a run predicts: its masking, in parts, with presets filled in."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from entromask.parts.base import Part, Share
from entromask.presets import MASKING_PRESETS

SCORES = ("uniform", "entropy", "surprisal", "frequency", "pmi", "amlm")
ENTRY_POINTS = "entromask.scores"


def own_scores() -> dict[str, EntryPoint]:
    """The strategies that installed packages bring, by name; a name of ours stays ours."""
    return {one.name: one for one in entry_points(group=ENTRY_POINTS) if one.name not in SCORES}


class Corruption(Part):
    """What happens to a selected position; the shares add up to 1."""

    mask: float = Field(0.8, ge=0, le=1, description="becomes the mask token")
    random: float = Field(0.1, ge=0, le=1, description="becomes a random token")
    keep: float = Field(0.1, ge=0, le=1, description="stays as it is")

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, data: Any) -> Any:
        if isinstance(data, list | tuple) and len(data) == 3:
            return dict(zip(("mask", "random", "keep"), data, strict=True))
        return data

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.mask + self.random + self.keep
        if abs(total - 1) > 1e-6:
            raise PydanticCustomError(
                "shares",
                "the shares mask, random and keep must add up to 1, not {total}",
                {"total": f"{total:g}"},
            )
        return self


class RateSchedule(Part):
    """A masking rate that changes over the run."""

    schedule: Literal["linear", "cosine", "cyclic"] = Field(
        description="a line, half a cosine, or a cosine there and back `cycles` times"
    )
    start: float = Field(gt=0, lt=1, description="rate of the first step")
    end: float = Field(
        gt=0, lt=1, description="rate of the last step; of `cyclic`, of the middle of each cycle"
    )
    cycles: int = Field(4, ge=1, description="of `cyclic`: how often it comes back to `start`")


def _kind_of_rate(value: Any) -> str:
    return "schedule" if isinstance(value, dict | RateSchedule) else "number"


Rate = Annotated[
    Annotated[float, Field(gt=0, lt=1), Tag("number")] | Annotated[RateSchedule, Tag("schedule")],
    Discriminator(_kind_of_rate),
]


def _kind_of_warmup(value: Any) -> str:
    return "word" if isinstance(value, str) and not _is_number(value) else "number"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Warmup = Annotated[
    Annotated[Literal["plateau"], Tag("word")] | Annotated[Share, Tag("number")],
    Discriminator(_kind_of_warmup),
]


class Masking(Part):
    """score x source x view x refresh x selection x unit x rate x corruption, after a warm-up.

    A part that is not given comes from the preset; without a preset, from random masking.
    """

    preset: str | None = Field(
        None, description="a named composition; every other part overrides it"
    )
    score: str | None = Field(
        None,
        description="what a position is scored by: `uniform`, `entropy`, `surprisal`, "
        "`frequency`, `pmi`, `amlm`, or the name of an installed strategy of your own (entry point "
        "`entromask.scores`)",
    )
    source: Literal["corpus", "teacher", "self", "self-ema"] | None = Field(
        None, description="who gives the scores"
    )
    view: Literal["visible", "masked"] | None = Field(
        None, description="entropy with the token seen, or hidden"
    )
    refresh: Literal["fresh", "cached"] | None = Field(
        None, description="a forward pass each step, or stored scores"
    )
    select: Literal["top", "bottom", "middle", "ends", "sample"] | None = Field(
        None, description="which scores are taken"
    )
    refresh_share: Share | None = Field(
        None,
        description="of cached scores of self in the visible view: the share of the positions that "
        "are not predicted which each step scores anew (default 0.1)",
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="of source self-ema: weight of the past (default 0.999)"
    )
    temperature: float | None = Field(None, gt=0, description="of select: sample")
    explore: Share | None = Field(None, description="share of the budget drawn uniformly")
    unit: Literal["token", "word", "span"] | None = Field(
        None, description="what is masked as a whole"
    )
    rate: Rate | None = Field(None, description="share of the maskable tokens of a row")
    corruption: Corruption | None = Field(
        None, description="what the model sees in a selected place"
    )
    warmup: Warmup | None = Field(
        None, description="uniform masks first: 'plateau' (until it is left), or a share of steps"
    )

    exclude_tokens: list[str] = Field(
        default_factory=list,
        description="tokens that are never masked, beside those that frame a row, as the "
        "vocabulary spells them; special tokens of your own are masked unless they are listed",
    )

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """No key where there is none: the hashes of specs are older than these keys."""
        data: dict[str, Any] = handler(self)
        for name in ("refresh_share", "ema_decay", "exclude_tokens"):
            if data.get(name) in (None, []):
                data.pop(name, None)
        return data

    @field_validator("score")
    @classmethod
    def _known_score(cls, name: str | None) -> str | None:
        if name is None or name in SCORES or name in own_scores():
            return name
        close = difflib.get_close_matches(name, [*SCORES, *own_scores()], n=1)
        raise PydanticCustomError(
            "unknown_score",
            "no score '{name}'{close}; allowed: {allowed}, or an installed package's entry point "
            "of the group " + ENTRY_POINTS,
            {
                "name": name,
                "close": f" (did you mean '{close[0]}'?)" if close else "",
                "allowed": ", ".join([*SCORES, *own_scores()]),
            },
        )

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, name: str | None) -> str | None:
        if name is not None and name not in MASKING_PRESETS:
            close = difflib.get_close_matches(name, MASKING_PRESETS, n=1)
            raise PydanticCustomError(
                "unknown_preset",
                "no masking preset '{name}'{close}; allowed: {allowed}",
                {
                    "name": name,
                    "close": f" (did you mean '{close[0]}'?)" if close else "",
                    "allowed": ", ".join(MASKING_PRESETS),
                },
            )
        return name

    def resolved(self) -> Masking:
        """The same masking with every part written out."""
        base: dict[str, Any] = {
            "score": "uniform",
            "select": "sample",
            "explore": 0.0,
            "unit": "token",
            "rate": 0.15,
            "corruption": Corruption(),
            "warmup": 0.0,
        }
        given = {name: getattr(self, name) for name in self.model_fields_set}
        given = {name: value for name, value in given.items() if value is not None}
        preset = given.get("preset") or (None if "score" in given else "random")
        parts = base | (MASKING_PRESETS[preset].parts if preset else {}) | given
        parts["preset"] = preset
        score = parts["score"]
        parts.setdefault("temperature", _TEMPERATURES.get(score, 1.0))
        if score in ("frequency", "pmi"):
            parts.setdefault("source", "corpus")
            parts |= {"view": None, "refresh": None}
        elif score == "amlm":
            parts.setdefault("source", "self")
            parts |= {"view": None, "refresh": None}
        elif score in ("entropy", "surprisal"):
            parts.setdefault("source", "teacher")
            of_teacher = parts["source"] == "teacher"
            parts.setdefault("view", "masked" if of_teacher else "visible")
            cached = of_teacher or (parts["source"] == "self" and parts["view"] == "masked")
            parts.setdefault("refresh", "cached" if cached else "fresh")
            if not of_teacher and "warmup" not in given:
                parts["warmup"] = "plateau"
            if parts["source"] == "self" and (parts["view"], parts["refresh"]) == (
                "visible",
                "cached",
            ):
                parts.setdefault("refresh_share", 0.1)
            if parts["source"] == "self-ema":
                parts.setdefault("ema_decay", 0.999)
        else:  # uniform, or a strategy of the user's
            parts |= {"source": None, "view": None, "refresh": None}
        return Masking(**parts)


# frequency: weights count^-0.5 (WSBERT, arXiv:2302.14225). Entropy in nats spans about ln V = 9
# to 10, and at 1 a few positions of a row take nearly all the weight; at 3 the odds between a
# certain and an uncertain position are about 1 to 20.
_TEMPERATURES = {"frequency": 2.0, "entropy": 3.0, "surprisal": 3.0, "pmi": 3.0}
