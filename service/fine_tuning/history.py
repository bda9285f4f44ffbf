"""A job's events, summed up: when it started, its progress, its metrics, and what it published.

The events are in a file of the job's folder (`contract.job_events`). An event's id holds the byte of that file at which
the next event begins.
"""

import logging
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from contract.errors import InvalidParameter
from contract.files import lines_backwards
from contract.job_events import (
    EVENTS_FILE,
    ByAttempt,
    Data,
    EpochDone,
    Event,
    Progress,
    Published,
    Started,
    append_event,
    last_line_end,
    read_events,
    read_events_backwards,
    read_piece,
)

_REMEMBERED = 1000
_PIECE = 200  # events that are read at once

# Of a history of more bytes than this, only the first events and these last bytes are summed up.
_WHOLE, _TAIL = 2 * 1024 * 1024, 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedVersion:
    """A version that the job added to the store, as `name/version`, with time, step and metrics at that moment."""

    model: str
    at: float
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class History:
    """The sum of the events up to byte `end` of their file; `steps` is None until it is known.

    `pace` is the time and step of the current attempt's first progress, from which the remaining time is estimated.
    """

    end: int = 0
    started_at: float | None = None
    attempt: int = 0
    epoch: int = 0
    step: int = 0
    steps: int | None = None
    progress_at: float = 0.0
    pace: tuple[float, int] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    published: PublishedVersion | None = None

    def after(self, end: int, event: Event) -> "History":
        """The history with `event`, which ends at byte `end`, added to it."""
        data, at = event.data, event.created_at
        known = replace(self, end=end)
        if isinstance(data, ByAttempt) and data.attempt > self.attempt:
            known = replace(known, attempt=data.attempt, pace=None)
        match data:
            case Started() if self.started_at is None:
                return replace(known, started_at=at)
            case Progress():
                return known._at(data, at)
            case EpochDone():
                return replace(known._at(data, at), metrics=known.metrics | data.metrics)
            case Published():
                return replace(known, published=PublishedVersion(data.model, at, known.step, known.metrics))
        return known

    def _at(self, where: Progress | EpochDone, at: float) -> "History":
        pace = self.pace or (at, where.step)
        return replace(self, step=where.step, steps=where.steps, epoch=where.epoch, progress_at=at, pace=pace)

    @property
    def estimated_finish(self) -> float | None:
        """The time of the last step, at the pace of this attempt; None while the pace is unknown."""
        if self.pace is None or self.steps is None or self.step <= self.pace[1]:
            return None
        seconds_a_step = (self.progress_at - self.pace[0]) / (self.step - self.pace[1])
        return max(time.time(), self.progress_at + seconds_a_step * (self.steps - self.step))


class Histories:
    """The histories of all jobs under `root`; each reading continues where the last one ended. Blocks on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: OrderedDict[str, History] = OrderedDict()
        self._lock = threading.Lock()

    def folder(self, job: str) -> Path:
        """The job's folder, which may not exist yet."""
        return self.root / quote(job, safe="").replace(".", "%2E")  # always a folder right under the root

    def read(self, job: str) -> History:
        """The job's history up to now."""
        with self._lock:
            history = self._known.get(job, History())
        size = _size(self.folder(job) / EVENTS_FILE)
        if history.end > size:  # another file than before
            history = History()
        if size - history.end > _WHOLE:
            history = self._skip(job, history, size - _TAIL)
        for end, event in read_events(self.folder(job), history.end):
            history = history.after(end, event)
        with self._lock:
            self._known[job] = history
            self._known.move_to_end(job)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return history

    def forget(self, job: str) -> None:
        """The job and its events are deleted."""
        with self._lock:
            self._known.pop(job, None)

    def page(self, job: str, before: int | None, limit: int) -> tuple[list[tuple[int, Event]], bool]:
        """At most `limit` events, newest first, that end before byte `before`; and whether there are more."""
        events = (
            each for each in read_events_backwards(self.folder(job), before) if before is None or each[0] < before
        )
        found = list(islice(events, limit + 1))
        return found[:limit], len(found) > limit

    def piece(self, job: str, start: int) -> tuple[list[tuple[int, Event]], int]:
        """The next events from byte `start` on, a bounded number of them, each with its end; and the byte behind."""
        if _size(self.folder(job) / EVENTS_FILE) <= start:
            return [], start
        return read_piece(self.folder(job), start, _PIECE)

    def end(self, job: str) -> int:
        """The byte behind the last event."""
        return last_line_end(self.folder(job))

    def add(self, job: str, message: str, data: Data) -> None:
        """Append an event. If it cannot be written, that is logged only, since what it describes has happened."""
        try:
            self.folder(job).mkdir(parents=True, exist_ok=True)
            append_event(self.folder(job), message, data)
        except OSError as error:
            log.warning("event of job %s not written (%s): %s", job, error.strerror, message)

    def _skip(self, job: str, history: History, to: int) -> History:
        """Sum up the first events after `history`, and then move on to the first line behind byte `to`."""
        for end, event in read_piece(self.folder(job), history.end, _PIECE)[0]:
            history = history.after(end, event)
        behind = next((end for end, _ in lines_backwards(self.folder(job) / EVENTS_FILE, to)), 0)
        return replace(history, end=max(history.end, behind))


def event_id(job: str, end: int) -> str:
    """The id of the job's event that ends at byte `end`."""
    return f"ftevent-{job.removeprefix('ftjob-')}-{end}"


def place_of(job: str, identity: str, param: str) -> int:
    """The byte at which the event behind the one of this id begins; `InvalidParameter` for an id of another job."""
    start, _, end = identity.rpartition("-")
    if start != event_id(job, 0).rpartition("-")[0] or not (end.isascii() and end.isdecimal() and len(end) < 16):
        raise InvalidParameter(f"this job has no event {identity!r}", param=param)
    return int(end)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
