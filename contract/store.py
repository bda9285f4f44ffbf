"""What the model store holds: `<root>/<name>/<version>/model.pt`, and which version of each name is the default.

Only this module writes into the store. A reader never sees half a version or half a pointer: both are written under
a dotted name, which readers ignore, and renamed. Writers of one name, in any process, take turns under a file lock.
"""

import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from contract.errors import DefaultChanged, InvalidParameter, ModelNotFound, ServiceError, VersionInUse, VersionNotFound
from contract.files import append_line, replacing, sync, sync_tree
from contract.names import NAME_PATTERN

CHECKPOINT_FILE = "model.pt"
STATE_FILE = "training_state.safetensors"  # beside it: the unfolded weights, from which training continues
POINTER_FILE = "default.json"
HISTORY_FILE = "history.jsonl"

Action = Literal["publish", "promote", "delete"]

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_UNFINISHED = ".publish-"
_DELETED = ".deleted-"
_UNFINISHED_FOR_S = 24 * 3600.0
_LOCK_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


class StoreError(ServiceError):
    """The store cannot be read or written; the message says why, without a path."""


class Pointer(BaseModel):
    """`default.json`: the default version, the one before it, and the highest number ever given out.

    `version` is None while nobody has chosen a default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: PositiveInt | None = None
    previous: PositiveInt | None = None
    highest: NonNegativeInt = 0


class Change(BaseModel):
    """One line of `history.jsonl`; `previous` is the default before a promotion, `at` in Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    at: float
    action: Action
    version: PositiveInt
    previous: PositiveInt | None = None


class Store:
    """The folder of models. Every method blocks on the disk; call them off the event loop."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """The names that have at least one version, sorted."""
        return sorted(name for name in _entries(self.root) if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """The version numbers of `name`, sorted; empty for an unknown or impossible name.

        A version is a folder whose name is a positive integer without leading zeros. Folders that a symbolic link
        leads out of the store are ignored.
        """
        if not _NAME.fullmatch(name):
            return []
        folder = self.root / name
        numbers = (int(entry) for entry in _entries(folder) if _VERSION.fullmatch(entry))
        return sorted(number for number in numbers if self._holds(name, number))

    def checkpoint_path(self, name: str, version: int) -> Path:
        """Where the checkpoint of a version is, whether it exists or not."""
        return self.root / name / str(version) / CHECKPOINT_FILE

    def pointer(self, name: str) -> Pointer | None:
        """The default pointer of `name`, None where there is none; `StoreError` for a file that is not a pointer."""
        if not _NAME.fullmatch(name):
            return None
        path = self.root / name / POINTER_FILE
        try:
            if path.exists() and not path.is_file():  # reading from a pipe would never end
                raise StoreError(f"{POINTER_FILE} of model {name!r} is not a file")
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{POINTER_FILE} of model {name!r} cannot be read: {error.strerror}") from error
        try:
            return Pointer.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"]) or "the file"
            raise StoreError(f"{POINTER_FILE} of model {name!r} is not valid: {where}: {problem['msg']}") from error

    def history(self, name: str) -> list[Change]:
        """What happened to `name`, the oldest first; empty for an unknown or impossible name.

        The last promotion is the default that the pointer names, also where a process was killed before it could write
        it down. `StoreError` for a history or a pointer that cannot be read.
        """
        if not _NAME.fullmatch(name):
            return []
        changes = self._written(name)
        untold = self._untold(name, changes)
        return changes if untold is None else [*changes, untold]

    def set_default(self, name: str, version: int, *, expected: int | None = None, present: int) -> int:
        """Make `version` the default of `name`, for every process that reads this store, and return the one before.

        `present` is the default now in force as the caller resolved it; it counts where the pointer names no
        existing version. Raises `DefaultChanged` when `expected` is given and is not the default in force,
        `VersionNotFound`, or `StoreError`.
        """
        with self._writing(name):
            versions = self.versions(name)
            if version not in versions:
                raise VersionNotFound(f"model {name!r} has no version {version}", param="version")
            pointer = self.pointer(name) or Pointer()
            current = pointer.version if pointer.version is not None and pointer.version in versions else present
            if expected is not None and expected != current:
                raise DefaultChanged(
                    f"the default version of model {name!r} is {current}, not {expected}", param="expected"
                )
            if pointer.version != version:
                before = current if current != version else pointer.previous
                highest = max(pointer.highest, *versions)
                self._write_pointer(name, Pointer(version=version, previous=before, highest=highest))
                self._record(name, "promote", version, before)
            return current

    def publish(self, name: str, write: Callable[[Path], None]) -> int:
        """Add a version: `write(folder)` fills a hidden folder, which becomes the next version in one rename.

        Returns the new number, higher than any that `name` ever had. When `write` raises, nothing is left behind and
        its exception goes on; `InvalidParameter` for a name that cannot be one, `StoreError` when the store cannot be
        written.
        """
        if not _NAME.fullmatch(name):
            raise InvalidParameter(f"{name!r} is not a model name: it must match {NAME_PATTERN}", param="name")
        with _as_store_error(name):
            (self.root / name).mkdir(parents=True, exist_ok=True)
            if not self._is_inside(self.root / name):
                raise StoreError(f"model {name!r} is a link out of the store")
            self.pointer(name)
            unfinished = self.root / name / f"{_UNFINISHED}{uuid.uuid4().hex}"
            unfinished.mkdir()
        try:
            write(unfinished)
            with _as_store_error(name):
                sync_tree(unfinished)
            with self._writing(name):
                return self._give_number(name, unfinished)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def delete(self, name: str, version: int) -> None:
        """Remove a version at once for every reader; its number is not given out again.

        Raises `VersionInUse` for the version the pointer names, `VersionNotFound`, or `StoreError`.
        """
        with self._writing(name):
            versions = self.versions(name)
            if version not in versions:
                raise VersionNotFound(f"model {name!r} has no version {version}", param="version")
            pointer = self.pointer(name) or Pointer()
            if pointer.version == version:
                raise VersionInUse(f"version {version} is the default of model {name!r}", param="version")
            highest = max(pointer.highest, *versions)
            self._write_pointer(name, pointer.model_copy(update={"highest": highest}))
            folder = self.root / name
            (folder / str(version)).rename(folder / f"{_DELETED}{version}-{uuid.uuid4().hex}")
            sync(folder)
            self._record(name, "delete", version, None)
            self._sweep(name)

    def _holds(self, name: str, version: int) -> bool:
        path = self.checkpoint_path(name, version)
        return path.parent.is_dir() and self._is_inside(path)

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root))

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        if not (_NAME.fullmatch(name) and (self.root / name).is_dir() and self._is_inside(self.root / name)):
            raise ModelNotFound(f"there is no model {name!r}", param="name")
        with _as_store_error(name), FileLock(self.root / name / ".lock", timeout=_LOCK_TIMEOUT_S):
            yield

    def _give_number(self, name: str, unfinished: Path) -> int:
        folder = self.root / name
        pointer = self.pointer(name) or Pointer()
        number = max(pointer.highest, *(int(entry) for entry in _entries(folder) if _VERSION.fullmatch(entry)), 0)
        while unfinished.exists():
            number += 1
            self._write_pointer(name, pointer.model_copy(update={"highest": number}))
            try:
                unfinished.rename(folder / str(number))
            except OSError:
                if not os.path.lexists(folder / str(number)):  # not merely taken, by a hand that knows no lock
                    raise
        sync(folder)
        self._record(name, "publish", number, None)
        self._sweep(name)
        return number

    def _write_pointer(self, name: str, pointer: Pointer) -> None:
        folder = self.root / name
        untold = self._untold(name, self._written(name))
        if untold is not None:
            self._append(name, untold)
        with replacing(folder / POINTER_FILE) as file:
            file.write(pointer.model_dump_json().encode() + b"\n")

    def _record(self, name: str, action: Action, version: int, previous: int | None) -> None:
        self._append(name, Change(at=time.time(), action=action, version=version, previous=previous))

    def _append(self, name: str, change: Change) -> None:
        line = change.model_dump_json().encode()
        try:
            append_line(self.root / name / HISTORY_FILE, line)
        except OSError as error:  # what it tells of is done and must not be reported as failed
            log.warning("history of model %s not written (%s): %s", name, error.strerror, line)

    def _written(self, name: str) -> list[Change]:
        """The lines of the history; what is no change is passed over."""
        try:
            lines = (self.root / name / HISTORY_FILE).read_bytes().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"{HISTORY_FILE} of model {name!r} cannot be read: {error.strerror}") from error
        changes = []
        for line in lines:
            with suppress(ValidationError):
                changes.append(Change.model_validate_json(line))
        return changes

    def _untold(self, name: str, changes: Sequence[Change]) -> Change | None:
        """The promotion that the pointer tells of and the history does not."""
        pointer = self.pointer(name)
        if pointer is None or pointer.version is None:
            return None
        told = next((change.version for change in reversed(changes) if change.action == "promote"), None)
        if told == pointer.version:
            return None
        at = (self.root / name / POINTER_FILE).stat().st_mtime
        return Change(at=at, action="promote", version=pointer.version, previous=pointer.previous)

    def _sweep(self, name: str) -> None:
        """Remove what a killed process left: deleted versions, and hidden folders nobody has touched for a day."""
        for entry in (self.root / name).iterdir():
            with suppress(OSError):  # another publisher may just have removed its own
                old = entry.name.startswith(_UNFINISHED) and time.time() - entry.stat().st_mtime > _UNFINISHED_FOR_S
                if entry.is_symlink() and entry.name.startswith(_DELETED):
                    entry.unlink()
                elif old or entry.name.startswith(_DELETED):
                    shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def _as_store_error(name: str) -> Iterator[None]:
    try:
        yield
    except Timeout as error:
        raise StoreError(f"another process has been writing model {name!r} for {_LOCK_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise StoreError(f"the store cannot be written for model {name!r}: {error.strerror}") from error


def _entries(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
