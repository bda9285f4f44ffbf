"""What has changed in the store since it was last scanned, for the cost of two `stat` calls for each model.

A model is read again when its folder or its pointer has changed, by inode and modification time. A change can bear the
time of the scan that came just before it, so a folder that changed in the last two seconds is read at every scan. Once
a minute everything is read, for file systems whose clocks or caches hide a change.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.card import Card, CardError, read_card
from contract.checkpoint import CheckpointError
from contract.group import GROUP_FILE, Group, read_group
from contract.names import NAME_PATTERN
from contract.store import Store
from contract.store_history import POINTER_FILE, Pointer, StoreError
from service.models.version import Fingerprint, fingerprint

_RECENT_NS = 2_000_000_000
_EVERYTHING_SECONDS = 60.0

_NAME = re.compile(NAME_PATTERN)

Stamp = tuple[int, int, int] | None
"""Device, inode and modification time in ns; None if there is no such file or folder."""

Failed = Mapping[tuple[str, int], Fingerprint | None]
"""The checkpoints that could not be loaded, as they were then, by name and number."""


class StoreLost(Exception):
    """The store, or a folder of it, is not there. `detail` names the folder, for the log alone."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


@dataclass(frozen=True)
class Snapshot:
    """One model in the store at one moment.

    `fingerprints`: one for each version's checkpoint, None if the file is missing. `cards`, or groups: those that no
    earlier scan has read. `pointer`: the pointer, or the error in reading it.
    """

    fingerprints: dict[int, Fingerprint | None]
    cards: dict[int, Card | Group]
    pointer: Pointer | StoreError


@dataclass
class _Known:
    """A model as it was last seen; `stamps` is None where they are too recent to tell the next change."""

    stamps: tuple[Stamp, ...] | None = None
    fingerprints: dict[int, Fingerprint | None] = field(default_factory=dict)
    with_card: set[int] = field(default_factory=set)
    pointer: Pointer | str | None = None


class Scanner:
    """Scans one store, on one thread at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}
        self._listings: dict[Path, tuple[Stamp, list[str]]] = {}
        self._filled: dict[Path, Stamp] = {}
        self._read_all_at = float("-inf")

    def scan(self, failed: Failed, name: str | None = None) -> dict[str, Snapshot | StoreError | None]:
        """The models that have changed, of the whole store or `name` alone; None for one that is gone.

        A `StoreError` stands for a model whose folder cannot be read. Raises `StoreLost`, or `OSError` if the store
        cannot be read; nothing is missed by that.
        """
        self._check_folders()
        if name is not None:
            names = [name]
        else:
            self._forget_now_and_then()
            names = sorted({*self._known, *self._listed()})
        found: dict[str, Snapshot | StoreError | None] = {}
        for each in names:
            try:
                self._look(each, failed, found)
            except OSError as error:
                found[each] = StoreError(f"model {each!r} cannot be read: {error.strerror}")
        return found

    def _check_folders(self) -> None:
        """`StoreLost` if there is no store, or if a folder with models is gone, or an empty one is in its place.

        The latter is what an unmounted volume leaves: its models have not been deleted. Where somebody has deleted all
        models of a folder, the empty folder is still the same one.
        """
        folders = {folder: _stamp(str(folder)) for folder in self._store.folders}
        if not any(folders.values()):
            where = " or ".join(str(folder.absolute()) for folder in folders)
            raise StoreLost("the model store does not exist", f"there is no model store at {where}")
        for folder, stamp in folders.items():
            identity = stamp and (*stamp[:2], 0)
            if Store(folder).has_models():
                self._filled[folder] = identity
            elif self._filled.get(folder, identity) != identity:
                what = "has disappeared, or an empty one is in its place"
                detail = f"the folder {folder.absolute()} {what} (an unmounted volume?); what is loaded keeps answering"
                raise StoreLost(f"a folder of the model store {what}", detail)
            else:
                self._filled.pop(folder, None)

    def _forget_now_and_then(self) -> None:
        if time.monotonic() - self._read_all_at > _EVERYTHING_SECONDS:
            self._read_all_at = time.monotonic()
            self._listings.clear()
            for known in self._known.values():
                known.stamps = None

    def _listed(self) -> Iterator[str]:
        """The names in all folders, with or without versions."""
        for folder in self._store.folders:
            stamp = _stamp(str(folder))
            before, names = self._listings.get(folder, (None, []))
            if stamp is None:
                continue
            if stamp != before:
                names = [entry for entry in os.listdir(folder) if _NAME.fullmatch(entry)]
                self._listings[folder] = (stamp if _are_old(stamp) else None, names)
            yield from names

    def _look(self, name: str, failed: Failed, found: dict[str, Snapshot | StoreError | None]) -> None:
        """Add `name` to what was found, if it has changed."""
        before = self._known.get(name, _Known())
        roots = [f"{folder}/{name}" for folder in self._store.folders]
        stamps = tuple(_stamp(path) for root in roots for path in (root, f"{root}/{POINTER_FILE}"))
        if before.stamps == stamps and not self._has_new_files(name, before, failed):
            return
        paths = self._store.checkpoints(name)
        now = _Known(stamps if _are_old(*stamps) else None, {n: fingerprint(path) for n, path in paths.items()})
        cards: dict[int, Card | Group] = {}
        for number, path in paths.items():
            seen = now.fingerprints[number]
            has_changed = before.fingerprints.get(number, ()) != seen or failed.get((name, number), seen) != seen
            is_kept = number in before.with_card and (name, number) not in failed  # versions that work do not change
            if has_changed and not is_kept and (card := _card(path)):
                cards[number] = card
            if number in cards or is_kept or (number in before.with_card and not has_changed):
                now.with_card.add(number)
        pointer = _pointer(self._store, name) if paths else Pointer()
        now.pointer = pointer if isinstance(pointer, Pointer) else pointer.message
        if any(stamps):
            self._known[name] = now
        else:
            self._known.pop(name, None)
        if not paths:
            if before.fingerprints:
                found[name] = None
            return
        is_retried = any(failed.get((name, n), seen) != seen for n, seen in now.fingerprints.items())
        if cards or is_retried or (before.fingerprints, before.pointer) != (now.fingerprints, now.pointer):
            found[name] = Snapshot(now.fingerprints, cards, pointer)

    def _has_new_files(self, name: str, known: _Known, failed: Failed) -> bool:
        """Whether a checkpoint has changed that could not be loaded, or whose card could not be read."""
        for number, seen in known.fingerprints.items():
            if number not in known.with_card or (name, number) in failed:
                now = fingerprint(self._store.checkpoint_path(name, number))
                if now != failed.get((name, number), seen):
                    return True
        return False


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _are_old(*stamps: Stamp) -> bool:
    now = time.time_ns()
    return all(stamp is None or stamp[2] < now - _RECENT_NS for stamp in stamps)


def _pointer(store: Store, name: str) -> Pointer | StoreError:
    try:
        return store.pointer(name)
    except StoreError as error:
        return error


def _card(path: Path) -> Card | Group | None:
    try:
        return read_group(path) if path.name == GROUP_FILE else read_card(path)
    except (CardError, CheckpointError):  # loading the version will say why
        return None
