"""Event recordings: bytes or lists in, checked events out, int64 `[N, 4]` (t in µs, x, y, p)."""

from contract.events.aedat2 import CAMERAS
from contract.events.checks import check_events, events_from_lists
from contract.events.read import FORMATS, read_events

__all__ = ["CAMERAS", "FORMATS", "check_events", "events_from_lists", "read_events"]
