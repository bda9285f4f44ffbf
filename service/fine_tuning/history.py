"""What a job's events say of it so far: when it started, how far it is, how well it does, what it published.

The events are in the job's folder (`contract.job_spec`), written by its worker and its child. An event's id is the
place in that file at which the next one begins.
"""

import json
import logging
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path

from contract.errors import InvalidParameter
from contract.job_events import EVENTS_FILE, Event, Kind, Level, append_event, read_events
from contract.job_spec import HEARTBEAT_FILE

_NOT_METRICS = ("attempt", "epoch", "epochs", "step", "steps")
_REMEMBERED = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A version that the job added to the store: `name/version`, when, and after how many steps."""

    model: str
    at: float
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class History:
    """The events up to byte `end` in short; `steps` is None while nobody knows.

    `pace` is the first progress of the present attempt, by which the rest is estimated: time and step.
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
    published: Published | None = None

    def after(self, end: int, event: Event) -> "History":
        """What is known when `event`, which ends at byte `end`, has happened too."""
        data = event.data
        known = replace(self, end=end)
        attempt = data.get("attempt")
        if isinstance(attempt, int) and attempt > self.attempt:
            known = replace(known, attempt=attempt, pace=None)
        if data.get("kind") == "started" and self.started_at is None:
            known = replace(known, started_at=event.created_at)
        step = data.get("step")
        if isinstance(step, int) and data.get("kind") != "published":
            known = replace(
                known,
                step=step,
                steps=data.get("steps", self.steps),
                epoch=data.get("epoch", self.epoch),
                progress_at=event.created_at,
                pace=known.pace or (event.created_at, step),
            )
        if event.type == "metrics":
            measured = {name: value for name, value in data.items() if name not in _NOT_METRICS and _is_number(value)}
            known = replace(known, metrics={**self.metrics, **measured})
        if data.get("kind") == "published" and isinstance(data.get("model"), str):
            step = data.get("step", known.step)
            known = replace(known, published=Published(data["model"], event.created_at, step, known.metrics))
        return known

    @property
    def estimated_finish(self) -> float | None:
        """When the last step will be done at the pace of this attempt; None while that cannot be told."""
        if self.pace is None or self.steps is None or self.step <= self.pace[1]:
            return None
        seconds_a_step = (self.progress_at - self.pace[0]) / (self.step - self.pace[1])
        return max(time.time(), self.progress_at + seconds_a_step * (self.steps - self.step))


class Histories:
    """The histories of all jobs under `root`, each read on from where it was left. Blocks on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: OrderedDict[str, History] = OrderedDict()
        self._lock = threading.Lock()

    def folder(self, job: str) -> Path:
        """Where the job's files are, whether they exist yet or not."""
        return self.root / job

    def read(self, job: str) -> History:
        """The job's history up to now."""
        with self._lock:
            history = self._known.get(job, History())
        if history.end > _size(self.folder(job) / EVENTS_FILE):  # not the file that it was
            history = History()
        for end, event in read_events(self.folder(job), history.end):
            history = history.after(end, event)
        with self._lock:
            self._known[job] = history
            self._known.move_to_end(job)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return history

    def events(self, job: str, start: int = 0) -> list[tuple[str, int, Event]]:
        """The events from byte `start` on: id, the byte at which the next begins, and the event."""
        return [(event_id(job, end), end, event) for end, event in read_events(self.folder(job), start)]

    def end(self, job: str) -> int:
        """The size of the events' file in bytes, which grows with each event."""
        return _size(self.folder(job) / EVENTS_FILE)

    def tell(self, job: str, message: str, *, kind: str, level: Level = "info", type: Kind = "message") -> None:
        """Add an event; one that cannot be written is logged, for what it tells of has happened."""
        try:
            self.folder(job).mkdir(parents=True, exist_ok=True)
            append_event(self.folder(job), message, level=level, type=type, data={"kind": kind})
        except OSError as error:
            log.warning("event of job %s not written (%s): %s", job, error.strerror, message)

    def heartbeat(self, job: str) -> float | None:
        """When a worker last said that it runs the job; None if none ever did."""
        try:
            at = json.loads((self.folder(job) / HEARTBEAT_FILE).read_bytes())["at"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return float(at) if isinstance(at, int | float) else None


def event_id(job: str, end: int) -> str:
    """The id of the job's event that ends at byte `end`."""
    return f"ftevent-{job.removeprefix('ftjob-')}-{end}"


def place_of(job: str, identity: str, param: str) -> int:
    """The byte at which the event after the one of this id begins; `InvalidParameter` for no event of the job."""
    start, _, end = identity.rpartition("-")
    if start != event_id(job, 0).rpartition("-")[0] or not (end.isascii() and end.isdecimal() and len(end) < 16):
        raise InvalidParameter(f"{identity!r} is no event of this job", param=param)
    return int(end)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
