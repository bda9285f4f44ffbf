"""The events of a fine-tuning job: one JSON line each in `events.jsonl` of the job's folder.

The child process, its worker and the service append to the same file. An `Event` says when and in which words; its
`data` says what happened, with one class for each kind.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.files import append_line, lines_backwards

EVENTS_FILE = "events.jsonl"

Level = Literal["info", "warn", "error"]
Kind = Literal["message", "metrics"]


class _Data(BaseModel):
    """What happened. Fields that this release does not know are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    level: ClassVar[Level] = "info"
    type: ClassVar[Kind] = "message"


class Waiting(_Data):
    """An attempt waits for its device, on which another training runs."""

    kind: Literal["waiting"] = "waiting"
    attempt: int


class Started(_Data):
    """An attempt has its device and begins."""

    kind: Literal["started"] = "started"
    attempt: int


class Progress(_Data):
    """Where a long epoch is: optimizer steps done of all `steps`, whole epochs done, and the last batch's loss.

    `loss` is None where it is not a finite number.
    """

    kind: Literal["progress"] = "progress"
    attempt: int
    epochs: int
    step: int
    steps: int
    epoch: int
    loss: float | None


class EpochDone(_Data):
    """An epoch was finished and its state saved; `epoch` counts from 1.

    `loss` is the epoch's mean on the training part; `accuracy` and `spikes_per_sample` are measured on the validation
    part. `baseline_accuracy` is the base version's on the same part, None with new labels.
    """

    type = "metrics"

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    spikes_per_sample: float
    baseline_accuracy: float | None
    attempt: int

    @property
    def metrics(self) -> dict[str, float]:
        """The measured values by name, without those that are unknown."""
        names = ("loss", "accuracy", "spikes_per_sample", "baseline_accuracy")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class Published(_Data):
    """The new version is in the store, as `name/version`: the outcome of the job."""

    kind: Literal["published"] = "published"
    attempt: int
    model: str


class Promoted(_Data):
    """The new version became the default of its model, in place of version `previous`."""

    kind: Literal["promoted"] = "promoted"
    attempt: int
    model: str
    previous: int


class NotPromoted(_Data):
    """The new version did not become the default; `reason` is for people."""

    level = "warn"

    kind: Literal["not_promoted"] = "not_promoted"
    attempt: int
    model: str
    reason: str


class Failed(_Data):
    """An attempt failed; the event's message, `code` and `param` are its `Failure`."""

    level = "error"

    kind: Literal["failed"] = "failed"
    attempt: int
    code: str
    param: str | None


class Killed(_Data):
    """A signal ended the child process; its worker says so."""

    level = "warn"

    kind: Literal["killed"] = "killed"
    signal: int


class Stopped(_Data):
    """The worker shuts down and stopped the child process; the job goes back into the queue."""

    level = "warn"

    kind: Literal["stopped"] = "stopped"


class Cancelled(_Data):
    """The service cancelled the job."""

    kind: Literal["cancelled"] = "cancelled"


class Resumed(_Data):
    """The service put the job back into the queue."""

    kind: Literal["resumed"] = "resumed"


class Unknown(_Data):
    """An event of another release: shown to callers, and otherwise passed over."""


ByAttempt = Waiting | Started | Progress | EpochDone | Published | Promoted | NotPromoted | Failed
Data = Annotated[
    Annotated[
        Waiting
        | Started
        | Progress
        | Published
        | Promoted
        | NotPromoted
        | Failed
        | Killed
        | Stopped
        | Cancelled
        | Resumed,
        Field(discriminator="kind"),
    ]
    | EpochDone
    | Unknown,
    Field(union_mode="left_to_right"),
]


class Event(BaseModel):
    """One line of the file. `created_at` is in Unix seconds; `type` is `metrics` for `EpochDone`, else `message`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created_at: float
    level: Level = "info"
    type: Kind = "message"
    message: str
    data: Data = Unknown()


def append_event(folder: Path, message: str, data: Data) -> None:
    """Add an event to the job's folder in one write, so that lines of several processes never mix.

    After a torn line (a full disk, a kill) the event starts on a line of its own. Raises `OSError`.
    """
    event = Event(created_at=time.time(), level=data.level, type=data.type, message=message, data=data)
    append_line(folder / EVENTS_FILE, event.model_dump_json().encode())


def read_events(folder: Path, start: int = 0) -> Iterator[tuple[int, Event]]:
    """The events from byte `start` of the file on, each with the byte at which the next one begins.

    A line without an end is still being written and ends the reading. A line that is not an event is skipped.
    """
    for end, event in _lines(folder, start):
        if event is not None:
            yield end, event


def read_piece(folder: Path, start: int, most: int) -> tuple[list[tuple[int, Event]], int]:
    """The events in the first `most` lines from byte `start` on, as `read_events` gives them, and the byte behind."""
    found = list(islice(_lines(folder, start), most))
    return [(end, event) for end, event in found if event is not None], found[-1][0] if found else start


def read_events_backwards(folder: Path, end: int | None = None) -> Iterator[tuple[int, Event]]:
    """The events from the end of the file, or from byte `end`, to its start, each with the byte behind it."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for behind, line in lines_backwards(folder / EVENTS_FILE, end):
            if (event := _event(line)) is not None:
                yield behind, event


def last_line_end(folder: Path) -> int:
    """The byte behind the last whole line; 0 without a line."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return next((behind for behind, _ in lines_backwards(folder / EVENTS_FILE)), 0)
    return 0


def _lines(folder: Path, start: int) -> Iterator[tuple[int, Event | None]]:
    try:
        file = (folder / EVENTS_FILE).open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return
    with file:
        file.seek(start)
        for line in file:
            start += len(line)
            if not line.endswith(b"\n"):
                return
            yield start, _event(line)


def _event(line: bytes) -> Event | None:
    try:
        return Event.model_validate_json(line)
    except ValidationError:
        return None
