"""AEDAT 3.1 of cAER: lines of '#', then little-endian packets of a 28-byte header and equal events.

Specification: https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html
"""

import struct

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import check_count, check_packets, events_array
from contract.events.headers import text_header

END = b"#!END-HEADER"
PACKET = struct.Struct("<hhiiiiii")
POLARITY = 1
EVENT_BYTES = 8


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """The valid polarity events of the one camera in the recording, int64 `[N, 4]`.

    A time is 31 bits with the packet's overflow count above them. Packets of other kinds are passed over. Raises
    `InvalidEvents` for compressed or broken packets and for events of several cameras.
    """
    header = text_header(data, "#", END)
    if END not in header:
        raise InvalidEvents("the AEDAT 3.1 header has no line '#!END-HEADER'")
    if b"#Format: " in header and b"#Format: RAW" not in header:
        raise InvalidEvents("only AEDAT 3.1 of '#Format: RAW' is read, this one is compressed")
    packets = []
    sources = set()
    count = seen = 0
    at = len(header)
    while at < len(data):
        seen += 1
        check_packets(seen)
        kind, source, size, overflow, number, body, at = _packet(data, at)
        if kind != POLARITY or number == 0:
            continue
        if size != EVENT_BYTES:
            raise InvalidEvents(f"a polarity event is 8 bytes, the packet that ends at byte {at} says {size}")
        sources.add(source)
        words = np.frombuffer(data, "<u4", count=2 * number, offset=body).reshape(-1, 2)
        words = words[words[:, 0] & 1 == 1]
        count += len(words)
        if count > max_events:
            break
        packets.append((overflow, words))
    if len(sources) > 1:
        raise InvalidEvents(f"the recording holds events of {len(sources)} sources, it must be one camera's")
    check_count(count, max_events)
    address = np.concatenate([words[:, 0] for _, words in packets])
    time = np.concatenate([words[:, 1].astype(np.int64) + (overflow << 31) for overflow, words in packets])
    return events_array(time, address >> 17, address >> 2 & 0x7FFF, address >> 1 & 1)


def _packet(data: bytes, at: int) -> tuple[int, int, int, int, int, int, int]:
    """Type, source, event size, overflow, number of events, start of the body and end of the packet at byte `at`."""
    if at + PACKET.size > len(data):
        raise InvalidEvents(f"the recording ends inside the packet header at byte {at}")
    kind, source, size, _, overflow, capacity, number, _ = PACKET.unpack_from(data, at)
    body = at + PACKET.size
    if kind < 0 or size <= 0 or overflow < 0 or not 0 <= number <= capacity:
        raise InvalidEvents(f"the packet header at byte {at} is not one of AEDAT 3.1")
    if body + capacity * size > len(data):
        raise InvalidEvents(f"the recording ends inside the packet at byte {at}")
    return kind, source, size, overflow, number, body, body + capacity * size
