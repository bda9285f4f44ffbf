"""`default.json` and `history.jsonl` of one model: its default version, and every change to its versions."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from contract.errors import InvalidParameter, ServiceError
from contract.files import append_line, lines_backwards, replacing

POINTER_FILE = "default.json"
HISTORY_FILE = "history.jsonl"

Action = Literal["publish", "promote", "delete"]

log = logging.getLogger(__name__)


class StoreError(ServiceError):
    """The store cannot be read or written; the message says why, without a path."""


class Pointer(BaseModel):
    """`default.json`: the default version, the previous default, and the highest number ever given to a version.

    `version` is None while nobody has chosen a default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: PositiveInt | None = None
    previous: PositiveInt | None = None
    highest: NonNegativeInt = 0


class Change(BaseModel):
    """One line of `history.jsonl`; `at` is in Unix seconds, `previous` the default before a promotion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    at: float
    action: Action
    version: PositiveInt
    previous: PositiveInt | None = None


class StoreHistory:
    """Pointer and history of the model in `folder`, which is `<root>/<name>`. Writers must hold the model's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    def pointer(self) -> Pointer:
        """The pointer, an empty one if there is no file; `StoreError` for a file that is not a pointer."""
        path = self.folder / POINTER_FILE
        try:
            if path.exists() and not path.is_file():  # reading from a pipe would never end
                raise StoreError(f"{POINTER_FILE} of model {self.name!r} is not a file")
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return Pointer()
        except OSError as error:
            raise StoreError(f"{POINTER_FILE} of model {self.name!r} cannot be read: {error.strerror}") from error
        try:
            return Pointer.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"]) or "the file"
            message = f"{POINTER_FILE} of model {self.name!r} is not valid: {where}: {problem['msg']}"
            raise StoreError(message) from error

    def newest_first(self, end: int | None = None) -> Iterator[tuple[int, Change]]:
        """The changes from the newest, or from the one that ends at byte `end`, to the oldest, each with its end.

        A promotion is included even if its process was killed after writing the pointer and before writing the history.
        The file is read only as far as changes are taken. `StoreError` if history or pointer cannot be read,
        `InvalidParameter` if no change ends at byte `end`.
        """
        size = self._size()
        if end is None or end > size:
            unrecorded = self._unrecorded()
            behind = size if unrecorded is None else size + len(_line(unrecorded)) + 1
            if end is not None and end != behind:
                raise _no_change(self.name)
            if unrecorded is not None:
                yield behind, unrecorded
            end = None
        yield from self._recorded(end)

    def changes(self) -> list[Change]:
        """Every change, oldest first; raises as `newest_first`."""
        return [change for _, change in self.newest_first()][::-1]

    def set_pointer(self, pointer: Pointer) -> None:
        """Replace the pointer in one step."""
        unrecorded = self._unrecorded()
        if unrecorded is not None:
            self._append(unrecorded)
        with replacing(self.folder / POINTER_FILE) as file:
            file.write(pointer.model_dump_json().encode() + b"\n")

    def record(self, action: Action, version: int, previous: int | None = None) -> None:
        """Append a change that has just been made."""
        self._append(Change(at=time.time(), action=action, version=version, previous=previous))

    def _append(self, change: Change) -> None:
        line = _line(change)
        try:
            append_line(self.folder / HISTORY_FILE, line)
        except OSError as error:  # the change itself is done and must not be reported as failed
            log.warning("history of model %s not written (%s): %s", self.name, error.strerror, line)

    def _recorded(self, end: int | None = None) -> Iterator[tuple[int, Change]]:
        """The changes in the file up to byte `end`, newest first, each with its end; other lines are skipped."""
        is_found = not end
        try:
            for behind, line in lines_backwards(self.folder / HISTORY_FILE, end):
                is_found = is_found or behind == end
                if not is_found:
                    break
                with suppress(ValidationError):
                    yield behind, Change.model_validate_json(line)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"{HISTORY_FILE} of model {self.name!r} cannot be read: {error.strerror}") from error
        if not is_found:
            raise _no_change(self.name)

    def _size(self) -> int:
        """The size of the file in bytes."""
        try:
            return (self.folder / HISTORY_FILE).stat().st_size
        except OSError:
            return 0

    def _unrecorded(self) -> Change | None:
        """The promotion that is in the pointer and not in the history."""
        pointer = self.pointer()
        if pointer.version is None:
            return None
        last = next((change.version for _, change in self._recorded() if change.action == "promote"), None)
        if last == pointer.version:
            return None
        at = (self.folder / POINTER_FILE).stat().st_mtime
        return Change(at=at, action="promote", version=pointer.version, previous=pointer.previous)


def newest_first(
    histories: Sequence[StoreHistory], after: Sequence[int] | None = None
) -> Iterator[tuple[tuple[int, ...], Change]]:
    """The changes in all `histories` from the newest to the oldest, each with its place.

    A place says at which byte of each history the older changes end; `after` continues behind a place. Raises as
    `StoreHistory.newest_first`.
    """
    ends = [None] * len(histories) if after is None else after
    each_newest_first = [history.newest_first(end) for history, end in zip(histories, ends, strict=True)]
    heads = [next(changes, None) for changes in each_newest_first]
    while any(heads):
        _, index = max((head[1].at, index) for index, head in enumerate(heads) if head is not None)
        newest = heads[index]
        assert newest is not None
        heads[index] = next(each_newest_first[index], None)
        yield tuple(0 if head is None else head[0] for head in heads), newest[1]


def _line(change: Change) -> bytes:
    return change.model_dump_json().encode()


def _no_change(model: str) -> InvalidParameter:
    return InvalidParameter(f"model {model!r} has no such change")
