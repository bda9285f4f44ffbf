"""A valid recording of each format to damage, and what a reader may do with any bytes."""

import io
import struct

import lz4.frame  # type: ignore[import-untyped]
import numpy as np
import zstandard

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import read_events
from tests.contract.events.recordings import (
    AEDAT3_HEADER,
    aedat3_packet,
    aedat4_events,
    aedat4_header,
    aedat4_packet,
    es,
    evt2,
    evt3,
    evt21,
)

MAX_EVENTS = 50
ROWS = [(3, 1, 2, 1), (3, 7, 0, 0), (9, 5, 5, 1)]


def saved(compressed: bool) -> bytes:
    stream = io.BytesIO()
    arrays = {name: np.array([row[index] for row in ROWS]) for index, name in enumerate("txyp")}
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(ROWS, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")]))
    return stream.getvalue()


VALID = {
    "nmnist": [bytes([1, 2, 0, 0, 9, 0, 240, 0, 0, 0, 3, 4, 0x80, 0, 1])],
    "aedat": [
        b"#!AER-DAT2.0\r\n# a line\r\n" + struct.pack(">IiIi", 127 << 8 | 3 << 1 | 1, 10, 5 << 8 | 127 << 1, 12),
        AEDAT3_HEADER + aedat3_packet(ROWS) + aedat3_packet(ROWS[2:], overflow=1),
    ],
    "aedat4": [
        aedat4_header(0) + aedat4_packet(aedat4_events(ROWS)) + aedat4_packet(aedat4_events(ROWS[2:])),
        aedat4_header(1) + aedat4_packet(lz4.frame.compress(aedat4_events(ROWS))),
        aedat4_header(3) + aedat4_packet(zstandard.ZstdCompressor().compress(aedat4_events(ROWS))),
    ],
    "dat": [b"% Data file containing CD events\n% Version 2\n\x0c\x08" + struct.pack("<4I", 7, 5, 8, 1 << 28)],
    "evt2": [evt2(8 << 28 | 3, 1 << 28 | 63 << 22 | 20 << 11 | 5, 8 << 28 | 4, 1 << 28)],
    "evt21": [
        evt21(
            8 << 60 | 3 << 32, 1 << 60 | 63 << 54 | 32 << 43 | 5 << 32 | 0x80000001, 8 << 60 | 4 << 32, 7, order=order
        )
        for order in ("little", "legacy")
    ],
    "evt3": [evt3(0x8002, 0x6003, 0x0005, 0x2804, 0x3864, 0x4801, 0x5F80, 0x8003, 0x6000, 0x2001)],
    "npy": [npy()],
    "npz": [saved(True), saved(False)],
    "csv": [b"t,x,y,p\n3,1,2,1\n9,5,6,0\n"],
    "es": [es(bytes([0xFF, 2, 0xFF, 0, 0xFE, 0, 0xFF, 4, 0xFE, 0, 0xFF, 0, 0xFF]))],
}
CASES = [(format, data) for format, several in VALID.items() for data in several]


def read_or_refuse(data: bytes, format: str | None, camera: str | None = "dvs128") -> bool:
    """Whether `data` was read; fails for anything but events that keep the rules, or one of the two errors."""
    try:
        events = read_events(data, format, camera=camera, max_events=MAX_EVENTS)
    except (InvalidEvents, TooManyEvents):
        return False
    assert events.dtype == np.int64
    assert events.shape == (len(events), 4)
    assert 1 <= len(events) <= MAX_EVENTS
    assert (np.diff(events[:, 0]) >= 0).all()
    assert events.min() >= 0
    assert events[:, 0].max() < 2**62
    assert events[:, 3].max() <= 1
    return True
