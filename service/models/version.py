"""A model's versions in memory, and the snapshot of the store they are updated from."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Literal, NamedTuple

from contract.card import Card, CardError, read_card
from contract.names import ModelRef
from contract.store import Store, default_version
from contract.store_history import Pointer, StoreError
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

    def chosen(self) -> int | None:
        """The version that should be the default. A version that has not been loaded yet is taken to work."""
        return default_version(self.versions, self.pointer, lambda number: self.versions[number].state != "failed")


@dataclass(frozen=True)
class Snapshot:
    """One model in the store at one moment.

    `fingerprints`: one for each version's checkpoint, None if the file is missing. `cards`: the valid ones among
    those requested. `pointer`: the pointer, or the error in reading it.
    """

    fingerprints: dict[int, Fingerprint | None]
    cards: dict[int, Card]
    pointer: Pointer | StoreError


def scan(store: Store, name: str | None, known: Collection[tuple[str, int]]) -> dict[str, Snapshot]:
    """The models that have a version, or `name` alone, with the cards of the versions that are not `known`.

    Blocks on the disk, and raises its `OSError`.
    """
    models = store.models() if name is None else {name: store.checkpoints(name)}
    return {each: _snapshot(store, each, paths, known) for each, paths in models.items() if paths}


def fingerprint(path: Path) -> Fingerprint | None:
    """Inode, size in bytes and modification time in ns, which change with the file; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _snapshot(store: Store, name: str, paths: dict[int, Path], known: Collection[tuple[str, int]]) -> Snapshot:
    cards = {number: _card(path) for number, path in paths.items() if (name, number) not in known}
    try:
        pointer: Pointer | StoreError = store.pointer(name)
    except StoreError as error:
        pointer = error
    return Snapshot(
        fingerprints={number: fingerprint(path) for number, path in paths.items()},
        cards={number: card for number, card in cards.items() if card},
        pointer=pointer,
    )


def _card(path: Path) -> Card | None:
    try:
        return read_card(path)
    except CardError:  # loading the version will say why
        return None
