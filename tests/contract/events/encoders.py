"""Encoders of the formats of live events, written from the specifications, one event or group of pixels at a time."""

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from tests.contract.events.recordings import Event


def events13(events: Sequence[Event]) -> bytes:
    return b"".join(struct.pack("<QHHB", *event) for event in events)


def events8(events: Sequence[Event]) -> bytes:
    return b"".join(struct.pack("<IHH", t & 0xFFFFFFFF, x, y << 1 | p) for t, x, y, p in events)


def evt2(events: Sequence[Event]) -> bytes:
    words: list[int] = []
    for high, group in groupby(events, lambda event: event[0] >> 6):
        words.append(8 << 28 | high & 0x0FFFFFFF)
        words += [p << 28 | (t & 63) << 22 | x << 11 | y for t, x, y, p in group]
    return struct.pack(f"<{len(words)}I", *words)


def evt21(events: Sequence[Event], legacy: bool = False) -> bytes:
    words: list[tuple[int, int]] = []
    for high, group in groupby(events, lambda event: event[0] >> 6):
        words.append((8 << 28 | high & 0x0FFFFFFF, 0))
        for (t, base, y, p), pixels in _rows(group, 32):
            words.append((p << 28 | (t & 63) << 22 | base << 11 | y, sum(1 << x - base for x in pixels)))
    return b"".join(struct.pack("<II", *(word if legacy else word[::-1])) for word in words)


def evt21_legacy(events: Sequence[Event]) -> bytes:
    return evt21(events, legacy=True)


def evt3(events: Sequence[Event]) -> bytes:
    """Vectors of 12 and 8 pixels where a row has more than two, single events elsewhere."""
    words: list[int] = []
    high = low = row = None
    for (t, base, y, p), pixels in _rows(iter(events), 20):
        if t >> 12 != high:
            words.append(8 << 12 | t >> 12 & 0xFFF)
            high, low = t >> 12, 0
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(6 << 12 | low)
        if y != row:
            row = y
            words.append(y)
        if len(pixels) > 2:
            mask = sum(1 << x - base for x in pixels)
            words += [3 << 12 | p << 11 | base, 4 << 12 | mask & 0xFFF, 5 << 12 | mask >> 12]
        else:
            words += [2 << 12 | p << 11 | x for x in pixels]
    return struct.pack(f"<{len(words)}H", *words)


def _rows(events: Iterator[Event], width: int) -> Iterator[tuple[Event, list[int]]]:
    """Events of one time, row and polarity, with x rising inside `width` aligned pixels: where that is, and their x."""
    place: Event | None = None
    pixels: list[int] = []
    for t, x, y, p in events:
        here = (t, x - x % width, y, p)
        if place is not None and (here != place or x <= pixels[-1]):
            yield place, pixels
            pixels = []
        place = here
        pixels.append(x)
    if place is not None:
        yield place, pixels


ENCODERS: dict[str, Callable[[Sequence[Event]], bytes]] = {
    "events13": events13,
    "events8": events8,
    "evt2": evt2,
    "evt21": evt21,
    "evt21-legacy": evt21_legacy,
    "evt3": evt3,
}
