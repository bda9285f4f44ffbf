"""Events as a stream's messages: records of 13 bytes, or JSON. NumPy's arrays are read, and NumPy is not needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from struct import Struct
from typing import Any

from stl_snn_client.inputs import columns

EVENTS13 = "events13"
JSON = "json"
PIECE_BYTES = 64 * 1024  # of a binary message
EVENTS_A_TEXT = 1000  # far below the 64 KiB that a text message may have

_RECORD = Struct("<QHHB")
_PACKED = ("T{=Q:t:H:x:H:y:B:p:}", "T{<Q:t:<H:x:<H:y:B:p:}", "T{=Q:t:H:x:H:y:?:p:}", "T{<Q:t:<H:x:<H:y:?:p:}")
"""How the buffer protocol describes a packed array of fields t, x, y and p."""


def messages_of(events: Any, format: str) -> Iterator[bytes | str]:
    """The messages that carry these events.

    Bytes are in the stream's format already, cut anywhere. Other events are an array or a mapping with t, x, y and p;
    they need the format `events13` or `json`.
    """
    data = _raw(events)
    if data is None and format == JSON:
        yield from _texts(events)
        return
    if data is None and format != EVENTS13:
        raise ValueError(f"events of the format {format!r} must be bytes")
    data = data if data is not None else memoryview(pack(events))
    for start in range(0, len(data), PIECE_BYTES):
        yield bytes(data[start : start + PIECE_BYTES])


def pack(events: Any) -> bytes:
    """Records of `events13`; `struct.error` for an event that has no place in one."""
    try:
        view = memoryview(events)
    except (TypeError, ValueError):
        view = memoryview(b"")
    if view.format in _PACKED:
        return view.tobytes()
    table = columns(events)
    return b"".join(map(_RECORD.pack, table["t"], table["x"], table["y"], table["p"]))


def _raw(events: Any) -> memoryview | None:
    """Bytes, or an array of bytes."""
    try:
        view = memoryview(events)
    except (TypeError, ValueError):  # ValueError: an array whose layout the buffer protocol cannot describe
        return None
    return view.cast("B") if view.format == "B" and view.ndim == 1 and view.c_contiguous else None


def _texts(events: Any) -> Iterator[str]:
    table = columns(events)
    for start in range(0, len(table["t"]), EVENTS_A_TEXT):
        part = {name: values[start : start + EVENTS_A_TEXT] for name, values in table.items()}
        yield json.dumps({"events": part}, separators=(",", ":"))
