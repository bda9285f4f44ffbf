"""The model store: `<root>/<name>/<version>/model.pt`, in one folder or in several that are read as one.

Only this module, `store_history` and `probes` write into the store. Readers never see half a version or half a
pointer, because both are written under a dotted name, which readers ignore, and then renamed. Writers of one model take
turns under a file lock, in any number of processes.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout

from contract.errors import (
    DefaultChanged,
    InvalidParameter,
    ModelNotFound,
    VersionInUse,
    VersionNotFound,
    VersionReadOnly,
)
from contract.files import sync, sync_tree
from contract.group import GROUP_FILE
from contract.names import NAME_PATTERN, VERSION_PATTERN
from contract.store_history import Change, Pointer, StoreError, StoreHistory, newest_first

CHECKPOINT_FILE = "model.pt"
STATE_FILE = "training_state.safetensors"  # beside it: the unfolded weights, from which training continues

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
_UNFINISHED = ".publish-"
_DELETED = ".deleted-"
_UNFINISHED_FOR_S = 24 * 3600.0
_LOCK_TIMEOUT_S = 10.0


def default_version(versions: Collection[int], pointer: Pointer, works: Callable[[int], bool]) -> int | None:
    """The version that answers a request without a version; None if there is none.

    It is the pointer's version while that exists, and otherwise the lowest version that `works`, that is, whose
    checkpoint can be loaded and run. Service and training both decide by this function.
    """
    if pointer.version in versions:
        return pointer.version
    return next((version for version in sorted(versions) if works(version)), None)


class Store:
    """The models in `root` and in further folders that are only read. All methods block on the disk.

    New versions, pointers and histories are written to `root`, which is created when it is first needed. If several
    folders hold a version of the same number, the first one counts.
    """

    def __init__(self, root: Path, *read_only: Path) -> None:
        self.root = root
        self.folders = tuple(dict.fromkeys((root, *read_only)))

    def exists(self) -> bool:
        """Whether any of the folders is there."""
        return any(folder.is_dir() for folder in self.folders)

    def has_models(self) -> bool:
        """Whether there is at least one version, found without looking at all of them."""
        for name in (name for folder in self.folders for name in _entries(folder)):
            with suppress(OSError):  # of one model
                if self.checkpoints(name):
                    return True
        return False

    def models(self) -> dict[str, dict[int, Path]]:
        """The names that have at least one version, sorted, each with its `checkpoints`."""
        names = sorted({name for folder in self.folders for name in _entries(folder)})
        return {name: found for name in names if (found := self.checkpoints(name))}

    def names(self) -> list[str]:
        """The names that have at least one version, sorted."""
        return list(self.models())

    def checkpoints(self, name: str) -> dict[int, Path]:
        """The versions of `name`, sorted, each with the path of its checkpoint; empty for an unknown or invalid name.

        A version is a folder whose name is a positive integer without leading zeros. Folders that a symbolic link
        leads out of the store are ignored. A version folder may lack the checkpoint file; that of a group has
        `group.json` in its place, whose path is then given.
        """
        if not _NAME.fullmatch(name):
            return {}
        found: dict[int, Path] = {}
        for folder in self.folders:
            model = folder / name
            has_link = os.path.islink(model)  # links are rare, and slow to follow
            for entry in _scandir(model):
                if not _VERSION.fullmatch(entry.name) or int(entry.name) in found:
                    continue
                path = model / entry.name / CHECKPOINT_FILE
                is_plain = not has_link and entry.is_dir(follow_symlinks=False) and not os.path.islink(path)
                if is_plain or (path.parent.is_dir() and _is_inside(path, os.path.realpath(folder))):
                    found[int(entry.name)] = path
        return {number: _file_of(path) for number, path in sorted(found.items())}

    def versions(self, name: str) -> list[int]:
        """The version numbers of `name`, sorted; empty for an unknown or invalid name."""
        return list(self.checkpoints(name))

    def checkpoint_path(self, name: str, version: int) -> Path:
        """Where the checkpoint of a version is, or would be."""
        return self.checkpoints(name).get(version) or self.root / name / str(version) / CHECKPOINT_FILE

    def newest(self, name: str) -> Path:
        """Where the checkpoint of the highest version is; of the first one would be, for a name that has none."""
        return next(reversed(self.checkpoints(name).values()), self.root / name / "1" / CHECKPOINT_FILE)

    def pointer(self, name: str) -> Pointer:
        """The default pointer of `name`, an empty one if nobody has chosen a default; `StoreError` for a damaged file.

        The first folder with a default decides, and the highest number of all folders counts.
        """
        if not _NAME.fullmatch(name):
            return Pointer()
        pointers = [history.pointer() for history in self._histories(name)]
        chosen = next((pointer for pointer in pointers if pointer.version is not None), pointers[0])
        return chosen.model_copy(update={"highest": max(pointer.highest for pointer in pointers)})

    def history(self, name: str) -> list[Change]:
        """The changes to `name` in all folders, oldest first; empty for an unknown or invalid name.

        The last promotion is the default of the pointer, even if a process was killed before recording it.
        `StoreError` for a history or a pointer that cannot be read.
        """
        if not _NAME.fullmatch(name):
            return []
        return [change for _, change in newest_first(self._histories(name))][::-1]

    def history_page(
        self, name: str, after: Sequence[int] | None, limit: int
    ) -> tuple[list[tuple[tuple[int, ...], Change]], bool]:
        """At most `limit` changes to `name`, newest first, each with its place; and whether there are more.

        `after` is the place of the change behind which the page starts; `InvalidParameter` for any other. Reads only as
        much of the history as the page takes. `StoreError` for a history or a pointer that cannot be read.
        """
        if not _NAME.fullmatch(name):
            return [], False
        if after is not None and len(after) != len(self.folders):
            raise InvalidParameter(f"model {name!r} has no such change")
        found = list(islice(newest_first(self._histories(name), after), limit + 1))
        return found[:limit], len(found) > limit

    def set_default(self, name: str, version: int, *, expected: int | None = None, present: int) -> int:
        """Make `version` the default of `name` for every reader of the store, and return the previous default.

        `present` is the default that the caller found in force; it counts if the pointer does not name an existing
        version. Raises `DefaultChanged` if `expected` is given and is not the default in force, `VersionNotFound`, or
        `StoreError`.
        """
        with self._writing(name) as own:
            versions = self.versions(name)
            if version not in versions:
                raise VersionNotFound(f"model {name!r} has no version {version}", param="version")
            pointer = self.pointer(name)
            current = pointer.version if pointer.version is not None and pointer.version in versions else present
            if expected is not None and expected != current:
                raise DefaultChanged(
                    f"the default version of model {name!r} is {current}, not {expected}", param="expected"
                )
            if pointer.version != version:
                previous = current if current != version else pointer.previous
                highest = max(pointer.highest, *versions)
                own.set_pointer(Pointer(version=version, previous=previous, highest=highest))
                own.record("promote", version, previous)
            return current

    def publish(self, name: str, write: Callable[[Path], None]) -> int:
        """Add a version: `write(folder)` fills a hidden folder, which becomes the next version in one rename.

        Returns the new number, which is higher than any that `name` ever had in any folder. If `write` raises, nothing
        is left behind and its exception propagates. Raises `InvalidParameter` for an invalid name, `StoreError` if the
        store cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise InvalidParameter(f"{name!r} is not a model name: it must match {NAME_PATTERN}", param="name")
        with _as_store_error(name):
            self._make_folder(name)
            self.pointer(name)  # a damaged one is reported before the work of writing
            unfinished = self.root / name / f"{_UNFINISHED}{uuid.uuid4().hex}"
            unfinished.mkdir()
        try:
            write(unfinished)
            with _as_store_error(name):
                sync_tree(unfinished)
            with self._writing(name) as own:
                return self._give_number(name, unfinished, own)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def delete(self, name: str, version: int) -> None:
        """Remove a version at once for every reader; its number is not used again.

        Raises `VersionInUse` for the default, `VersionReadOnly` for a version in a folder that is only read,
        `VersionNotFound`, or `StoreError`.
        """
        with self._writing(name) as own:
            versions = self.versions(name)
            if version not in versions:
                raise VersionNotFound(f"model {name!r} has no version {version}", param="version")
            pointer = self.pointer(name)
            if pointer.version == version:
                raise VersionInUse(f"version {version} is the default of model {name!r}", param="version")
            if self._is_read_only(name, version):
                message = f"version {version} of model {name!r} is in a folder that is only read; remove it there"
                raise VersionReadOnly(message, param="version")
            highest = max(pointer.highest, *versions)
            own.set_pointer(own.pointer().model_copy(update={"highest": highest}))
            folder = self.root / name
            (folder / str(version)).rename(folder / f"{_DELETED}{version}-{uuid.uuid4().hex}")
            sync(folder)
            own.record("delete", version)
            self._sweep(name)

    def _histories(self, name: str) -> list[StoreHistory]:
        return [StoreHistory(folder / name) for folder in self.folders]

    def _is_read_only(self, name: str, version: int) -> bool:
        """Whether deleting the version from `root` would leave one of its number."""
        return len(self.folders) > 1 and version in Store(*self.folders[1:]).versions(name)

    def _make_folder(self, name: str) -> Path:
        """The folder of `name` in `root`."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        if not _is_inside(folder, os.path.realpath(self.root)):
            raise StoreError(f"model {name!r} is a link out of the store")
        return folder

    @contextmanager
    def _writing(self, name: str) -> Iterator[StoreHistory]:
        """Hold the lock of `name`; `ModelNotFound` if no folder has it."""
        if not (_NAME.fullmatch(name) and any(_has_model(folder, name) for folder in self.folders)):
            raise ModelNotFound(f"there is no model {name!r}", param="name")
        with _as_store_error(name):
            folder = self._make_folder(name)
            with FileLock(folder / ".lock", timeout=_LOCK_TIMEOUT_S):
                yield StoreHistory(folder)

    def _give_number(self, name: str, unfinished: Path, own: StoreHistory) -> int:
        entries = [entry for folder in self.folders for entry in _entries(folder / name)]
        number = max([self.pointer(name).highest, *(int(entry) for entry in entries if _VERSION.fullmatch(entry))])
        pointer = own.pointer()
        folder = self.root / name
        while unfinished.exists():
            number += 1
            own.set_pointer(pointer.model_copy(update={"highest": number}))
            try:
                unfinished.rename(folder / str(number))
            except OSError:
                if not os.path.lexists(folder / str(number)):  # unless somebody took the number without the lock
                    raise
        sync(folder)
        own.record("publish", number)
        self._sweep(name)
        return number

    def _sweep(self, name: str) -> None:
        """Remove what a killed process left: deleted versions, and hidden folders untouched for a day."""
        for entry in (self.root / name).iterdir():
            with suppress(OSError):  # another publisher may have just removed its own
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


def _file_of(checkpoint: Path) -> Path:
    group = checkpoint.with_name(GROUP_FILE)
    is_group = not os.path.lexists(checkpoint) and os.path.isfile(group) and not os.path.islink(group)
    return group if is_group else checkpoint


def _has_model(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() and _is_inside(folder / name, os.path.realpath(folder))


def _is_inside(path: Path, real_folder: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(real_folder)


def _entries(folder: Path) -> list[str]:
    return [entry.name for entry in _scandir(folder)]


def _scandir(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
