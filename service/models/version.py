"""A model and its versions, as the service knows them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Literal, NamedTuple

from contract.card import Card
from contract.group import Group
from contract.names import ModelRef
from contract.reference import Reference
from contract.store import default_version
from contract.store_history import Pointer
from service.engine.interface import Engine

State = Literal["available", "loading", "ready", "failed"]
Fingerprint = tuple[int, int, int]


@dataclass(eq=False)
class Version:
    """One version of a model. Whoever holds a ready version can use it until they let go, even after an unload."""

    name: str
    number: int
    state: State = "available"
    card: Card | None = None
    engine: Engine | None = field(default=None, repr=False)
    group: Group | None = None
    """Its members, if it is a group. The card is then known while it is in memory."""
    reference: Reference | None = field(default=None, repr=False)
    """What its inputs looked like in training, if that is known; read when it is loaded."""
    error: str | None = None
    loading: asyncio.Task[None] | None = field(default=None, repr=False)
    fingerprint: Fingerprint | None = field(default=None, repr=False)
    users: int = 0
    """Requests that use it now. In memory it stays at least for them."""
    used_at: float = 0.0
    """When it was last used or loaded, in seconds of the monotonic clock."""
    on_idle: Callable[[], None] | None = field(default=None, repr=False)
    """Called when no request uses it any more."""

    def hold(self) -> None:
        """Begin to use it; until `release` it is not unloaded to make room."""
        self.users += 1
        self.used_at = monotonic()

    def release(self) -> None:
        """End a use that `hold` began."""
        self.users -= 1
        if not self.users and self.on_idle is not None:
            self.on_idle()

    @property
    def ref(self) -> ModelRef:
        """Its name and number."""
        return ModelRef(self.name, self.number)

    @property
    def label(self) -> str:
        """`name/number`."""
        return str(self.ref)


class Loaded(NamedTuple):
    """A version in memory and the engine that runs it. Whoever holds it can go on using it after an unload."""

    version: Version
    engine: Engine


@dataclass
class Model:
    """The versions of one name, its pointer, and the default in force."""

    name: str
    versions: dict[int, Version] = field(default_factory=dict)
    pointer: Pointer = field(default_factory=Pointer)
    default: int | None = None
    revision: int = 0
    """Differs after every change of what callers see of the model."""

    def chosen(self) -> int | None:
        """The version that should be the default. A version that has not been loaded yet is taken to work."""
        return default_version(self.versions, self.pointer, lambda number: self.versions[number].state != "failed")


def fingerprint(path: Path) -> Fingerprint | None:
    """Inode, size in bytes and modification time in ns, which change with the file; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
