"""The events of a fine-tuning job: one JSON line each in `events.jsonl` of the job's folder."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.files import append_line

EVENTS_FILE = "events.jsonl"

Level = Literal["info", "warn", "error"]
Kind = Literal["message", "metrics"]


class Event(BaseModel):
    """One thing that happened to a job.

    `type` is `metrics` for an epoch that was finished and saved, with `data` holding `attempt, epoch, epochs, step,
    steps, loss, accuracy, spikes_per_sample`; else `message`, with `data` holding `kind` and, where a child tells it,
    `attempt`. Kinds: `started`, `progress` (`step, steps, epoch, epochs, loss`), `waiting` (for the device),
    `published` (`model`: name/version), `promoted`, `not_promoted`, `failed` (`code`, `param`), `killed` (`signal`),
    `stopped` (by its worker, which is leaving), `cancelled`, `resumed`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    created_at: float
    level: Level = "info"
    type: Kind = "message"
    message: str
    data: dict[str, Any] = {}


def append_event(
    folder: Path, message: str, *, level: Level = "info", type: Kind = "message", data: dict[str, Any] | None = None
) -> None:
    """Add an event to the job's folder in one write, so that lines of several processes never mix.

    After a torn line (a full disk, a kill) the next event begins a line of its own.
    """
    event = Event(created_at=time.time(), level=level, type=type, message=message, data=data or {})
    append_line(folder / EVENTS_FILE, event.model_dump_json().encode())


def read_events(folder: Path, start: int = 0) -> Iterator[tuple[int, Event]]:
    """The events from byte `start` of the file on, each with the byte at which the next one begins.

    A line without an end is not yet one, and a line that is no event is passed over.
    """
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
            try:
                yield start, Event.model_validate(json.loads(line))
            except (ValueError, ValidationError):
                continue
