"""What every answer and every request of the API is made of."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item")


class Resource(BaseModel):
    """What the server sends: unknown fields of a newer server are kept, not refused."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Request(BaseModel):
    """What a client sends: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Page(Resource, Generic[Item]):
    """A part of a list; `next` is the `after` of the next part."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    next: str | None = None
