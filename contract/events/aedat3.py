"""AEDAT 3.1 of cAER: lines of '#', then little-endian packets, each a 28-byte header and events of one size.

Specification: https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import check_count, check_packets, unordered_events
from contract.events.headers import text_header

END = b"#!END-HEADER"
PACKET = struct.Struct("<hhiiiiii")
POLARITY = 1
EVENT_BYTES = 8


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """The valid polarity events of the only camera in the recording, int64 `[N, 4]`.

    A time has 31 bits, with the packet's overflow count above them. Packets of other kinds are skipped. Raises
    `InvalidEvents` for compressed or broken packets and for events of several cameras.
    """
    header = text_header(data, "#", END)
    if END not in header:
        raise InvalidEvents("the AEDAT 3.1 header lacks the line '#!END-HEADER'")
    if b"#Format: " in header and b"#Format: RAW" not in header:
        raise InvalidEvents("AEDAT 3.1 is supported with '#Format: RAW' only; this recording is compressed")
    packets = []
    sources = set()
    count = seen = 0
    at = len(header)
    while at < len(data):
        seen += 1
        check_packets(seen)
        packet = _packet(data, at)
        at = packet.end
        if packet.kind != POLARITY or packet.events == 0:
            continue
        if packet.event_bytes != EVENT_BYTES:
            raise InvalidEvents(
                f"a polarity event has 8 bytes, but the packet before byte {at} says {packet.event_bytes}"
            )
        sources.add(packet.source)
        words = np.frombuffer(data, "<u4", count=2 * packet.events, offset=packet.body).reshape(-1, 2)
        words = words[words[:, 0] & 1 == 1]
        count += len(words)
        if count > max_events:
            break
        packets.append((packet.overflow, words))
    if len(sources) > 1:
        raise InvalidEvents(f"the recording holds events of {len(sources)} sources; it must be from one camera")
    check_count(count, max_events)
    address = np.concatenate([words[:, 0] for _, words in packets])
    time = np.concatenate([words[:, 1].astype(np.int64) + (overflow << 31) for overflow, words in packets])
    return unordered_events(time, address >> 17, address >> 2 & 0x7FFF, address >> 1 & 1)


class Packet(NamedTuple):
    """A packet's header; its events begin at byte `body`, and the next packet begins at byte `end`."""

    kind: int
    source: int
    event_bytes: int
    overflow: int
    events: int
    body: int
    end: int


def _packet(data: bytes, at: int) -> Packet:
    """The packet at byte `at`."""
    if at + PACKET.size > len(data):
        raise InvalidEvents(f"the recording ends inside the packet header at byte {at}")
    kind, source, size, _, overflow, capacity, number, _ = PACKET.unpack_from(data, at)
    body = at + PACKET.size
    if kind < 0 or size <= 0 or overflow < 0 or not 0 <= number <= capacity:
        raise InvalidEvents(f"the packet header at byte {at} is not a valid AEDAT 3.1 header")
    if body + capacity * size > len(data):
        raise InvalidEvents(f"the recording ends inside the packet at byte {at}")
    return Packet(kind, source, size, overflow, number, body, body + capacity * size)
