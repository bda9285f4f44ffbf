"""`default.json` and `history.jsonl` of one model: its default version, and every change to its versions."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from contract.errors import ServiceError
from contract.files import append_line, replacing

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

    def changes(self) -> list[Change]:
        """Every change, oldest first; `StoreError` if history or pointer cannot be read.

        A promotion is included even if its process was killed after writing the pointer and before writing the history.
        """
        recorded = self._recorded()
        unrecorded = self._unrecorded(recorded)
        return recorded if unrecorded is None else [*recorded, unrecorded]

    def set_pointer(self, pointer: Pointer) -> None:
        """Replace the pointer in one step."""
        unrecorded = self._unrecorded(self._recorded())
        if unrecorded is not None:
            self._append(unrecorded)
        with replacing(self.folder / POINTER_FILE) as file:
            file.write(pointer.model_dump_json().encode() + b"\n")

    def record(self, action: Action, version: int, previous: int | None = None) -> None:
        """Append a change that has just been made."""
        self._append(Change(at=time.time(), action=action, version=version, previous=previous))

    def _append(self, change: Change) -> None:
        line = change.model_dump_json().encode()
        try:
            append_line(self.folder / HISTORY_FILE, line)
        except OSError as error:  # the change itself is done and must not be reported as failed
            log.warning("history of model %s not written (%s): %s", self.name, error.strerror, line)

    def _recorded(self) -> list[Change]:
        """The changes in the file; lines that are not changes are skipped."""
        try:
            lines = (self.folder / HISTORY_FILE).read_bytes().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"{HISTORY_FILE} of model {self.name!r} cannot be read: {error.strerror}") from error
        changes = []
        for line in lines:
            with suppress(ValidationError):
                changes.append(Change.model_validate_json(line))
        return changes

    def _unrecorded(self, recorded: Sequence[Change]) -> Change | None:
        """The promotion that is in the pointer and not in the history."""
        pointer = self.pointer()
        if pointer.version is None:
            return None
        last = next((change.version for change in reversed(recorded) if change.action == "promote"), None)
        if last == pointer.version:
            return None
        at = (self.folder / POINTER_FILE).stat().st_mtime
        return Change(at=at, action="promote", version=pointer.version, previous=pointer.previous)
