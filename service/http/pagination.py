"""Pages of lists: `?after=<id>&limit=`, and the JSON around a page."""

from collections.abc import Sequence
from typing import Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict

from contract.errors import ServiceError


@runtime_checkable
class Identified(Protocol):
    """An item of a list."""

    @property
    def id(self) -> str:
        """The id by which `after` finds the item."""


T = TypeVar("T", bound=Identified)


class Page(BaseModel, Generic[T]):
    """A page of a list. Each list has a subclass, whose name `openapi.json` shows."""

    model_config = ConfigDict(arbitrary_types_allowed=True)  # of the bound of `T`, which subclasses replace

    object: Literal["list"]
    data: list[T]
    has_more: bool
    first_id: str | None
    last_id: str | None

    @classmethod
    def of(cls, items: Sequence[T], *, has_more: bool) -> Self:
        """The page of these items; `has_more` says whether the list goes on behind the last one."""
        first, last = (items[0].id, items[-1].id) if items else (None, None)
        return cls(object="list", data=list(items), has_more=has_more, first_id=first, last_id=last)


def cut_page(found: Sequence[T], after: str | None, limit: int, unknown: ServiceError) -> tuple[Sequence[T], bool]:
    """At most `limit` items, starting behind the item `after`, and whether there are more.

    Raises `unknown` if `after` is not the id of an item.
    """
    start = 0
    if after is not None:
        start = next((index for index, each in enumerate(found, 1) if each.id == after), 0)
        if not start:
            raise unknown
    return found[start : start + limit], len(found) > start + limit
