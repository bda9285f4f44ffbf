"""Small recordings written byte by byte, one builder for each format that needs more than a literal."""

import struct
from collections.abc import Sequence

Event = tuple[int, int, int, int]  # t, x, y, p


def aedat3_packet(events: Sequence[Event], *, kind: int = 1, source: int = 1, overflow: int = 0) -> bytes:
    body = b"".join(struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t) for t, x, y, p in events)
    return struct.pack("<hhiiiiii", kind, source, 8, 4, overflow, len(events), len(events), len(events)) + body


AEDAT3_HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def aedat4_header(compression: int, position: int = -1) -> bytes:
    """The version line and an IOHeader table: compression, position of the data table, an empty description."""
    table = 20
    body = struct.pack("<I4s2xHHHHH", table, b"IOHE", 10, 20, 4, 12, 8)
    body += struct.pack("<iiiq", table - 10, compression, 12, position)
    body += struct.pack("<Ix", 0)
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(body)) + body


def aedat4_events(events: Sequence[Event], identifier: bytes = b"EVTS") -> bytes:
    """A size-prefixed EventPacket table, not compressed."""
    body = struct.pack("<I4s2xHHH", 16, identifier, 6, 8, 4) + struct.pack("<iII", 6, 4, len(events))
    body += b"".join(struct.pack("<qhhB3x", *event) for event in events)
    return struct.pack("<I", len(body)) + body


def aedat4_packet(content: bytes, stream: int = 0) -> bytes:
    return struct.pack("<ii", stream, len(content)) + content


def evt3(*words: int) -> bytes:
    return b"% evt 3.0\n" + struct.pack(f"<{len(words)}H", *words)


def evt2(*words: int) -> bytes:
    return b"% evt 2.0\n" + struct.pack(f"<{len(words)}I", *words)


def evt21(*words: int, order: str = "little") -> bytes:
    """Words of 64 bits: least significant byte first (`little`), or each half so, the upper one first (`legacy`)."""
    halves = (((word & 0xFFFFFFFF), word >> 32) for word in words)
    body = b"".join(struct.pack("<II", *(half if order == "little" else half[::-1])) for half in halves)
    return b"% evt 2.1\n% format EVT21;height=320;width=320;endianness=" + order.encode() + b"\n% end\n" + body


def es(body: bytes, width: int = 300, height: int = 300) -> bytes:
    return b"Event Stream" + struct.pack("<3BBHH", 2, 0, 0, 1, width, height) + body
