"""What is known of a model: its versions in memory, and what the disk shows of them."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from contract.card import Card, CardError, read_card
from contract.store import Pointer, Store, StoreError
from service.engine.interface import Engine

State = Literal["available", "loading", "ready", "failed"]
Fingerprint = tuple[int, int, int]


@dataclass(eq=False)
class Version:
    """One version of a model. A ready one stays so for whoever holds it, also when it is unloaded meanwhile."""

    name: str
    number: int
    state: State = "available"
    card: Card | None = None
    engine: Engine | None = field(default=None, repr=False)
    error: str | None = None
    loading: asyncio.Task[None] | None = field(default=None, repr=False)
    fingerprint: Fingerprint | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """`name/number`."""
        return f"{self.name}/{self.number}"

    @property
    def created_at(self) -> datetime | None:
        """When it was trained; None where its card cannot be read."""
        return self.card.created_at if self.card else None


class Loaded(NamedTuple):
    """A version in memory and the engine that runs it. Whoever holds it can go on using it after an unload."""

    version: Version
    engine: Engine


@dataclass
class Model:
    """The versions of one name, its pointer, and the default now in force."""

    name: str
    versions: dict[int, Version] = field(default_factory=dict)
    pointer: Pointer | None = None
    default: int | None = None

    def chosen(self) -> int | None:
        """The version that ought to be the default: the pointer's, else the lowest that is not failed."""
        if self.pointer and self.pointer.version in self.versions:
            return self.pointer.version
        return min((number for number, version in self.versions.items() if version.state != "failed"), default=None)


@dataclass(frozen=True)
class Snapshot:
    """What the disk shows of one model.

    `fingerprints`: one for each version's checkpoint, None where the file is missing. `cards`: the valid ones among
    those requested. `pointer`: the pointer, or its fault.
    """

    fingerprints: dict[int, Fingerprint | None]
    cards: dict[int, Card]
    pointer: Pointer | StoreError | None


def scan(store: Store, name: str | None, known: Collection[tuple[str, int]]) -> dict[str, Snapshot]:
    """The models that have a version, or only `name`, with the cards of the versions that are not `known`.

    Blocks on the disk, and raises its `OSError`.
    """
    seen = {}
    for each in store.names() if name is None else [name]:
        paths = {number: store.checkpoint_path(each, number) for number in store.versions(each)}
        cards = {number: _card(path) for number, path in paths.items() if (each, number) not in known}
        try:
            pointer: Pointer | StoreError | None = store.pointer(each)
        except StoreError as error:
            pointer = error
        if paths:
            fingerprints = {number: fingerprint(path) for number, path in paths.items()}
            seen[each] = Snapshot(fingerprints, {number: card for number, card in cards.items() if card}, pointer)
    return seen


def fingerprint(path: Path) -> Fingerprint | None:
    """What changes when a file does: inode, size in bytes, modification time in ns; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _card(path: Path) -> Card | None:
    try:
        return read_card(path)
    except CardError:  # loading it will say why
        return None
