"""Pages of lists: `?after=<id>&limit=`."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from contract.errors import ServiceError


class Named(Protocol):
    """What a list holds."""

    @property
    def id(self) -> str:
        """By which `after` finds it."""


T = TypeVar("T", bound=Named)


def cut_page(found: Sequence[T], after: str | None, limit: int, unknown: ServiceError) -> tuple[Sequence[T], bool]:
    """At most `limit` of `found`, from the one behind `after` on, and whether there are more.

    Raises `unknown` where `after` is not among them.
    """
    start = 0
    if after is not None:
        start = next((index for index, each in enumerate(found, 1) if each.id == after), 0)
        if not start:
            raise unknown
    return found[start : start + limit], len(found) > start + limit
