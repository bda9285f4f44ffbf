"""Event recordings: bytes or lists in, checked events int64 `[N, 4]` (t in µs, x, y, p) out."""

from service.events.aedat2 import CAMERAS
from service.events.checks import check_events, events_from_lists
from service.events.read import FORMATS, read_events

__all__ = ["CAMERAS", "FORMATS", "check_events", "events_from_lists", "read_events"]
