"""AEDAT 4.0 of DV: a FlatBuffers header, then packets of FlatBuffers, each compressed on its own.

Only the tables that matter are read, with every offset checked, and a packet is unpacked only as far as its permitted
events need, so that neither a broken nor a hostile file does any harm. Specification:
https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-4.0.html
"""

import struct
from collections.abc import Callable

import lz4.frame  # type: ignore[import-untyped]
import numpy as np
import zstandard
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import check_count, check_packets, unordered_events

MAGIC = b"#!AER-DAT4.0\r\n"
EVENT = np.dtype(
    {"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12], "itemsize": 16}
)
HEAD = 1024  # the table of a packet must lie within its first bytes; the events may continue after them
IDENTIFIER = slice(8, 12)  # after the packet's size and the offset of its table
ZSTD_WINDOW = 2**25  # bytes

Unpack = Callable[[bytes, int], bytes]


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """The events of the only event stream in the recording, int64 `[N, 4]`.

    Frames, triggers and inertial samples are skipped. Raises `InvalidEvents` for broken packets and for several
    event streams, `TooManyEvents` as soon as the packets so far hold more than `max_events`.
    """
    unpack, at, end = _header(data)
    packets = []
    streams = set()
    count = seen = 0
    while at < end:
        seen += 1
        check_packets(seen)
        if at + 8 > end:
            raise InvalidEvents(f"the recording ends inside the packet header at byte {at}")
        stream, size = struct.unpack_from("<ii", data, at)
        if size < 0 or at + 8 + size > end:
            raise InvalidEvents(f"the packet at byte {at} says it has {size} bytes, but {end - at - 8} follow")
        packed = data[at + 8 : at + 8 + size]
        try:
            head = unpack(packed, HEAD)
            if len(head) < IDENTIFIER.stop:
                raise struct.error("it is cut off")
            if head[IDENTIFIER] == b"EVTS":
                first, number = _vector(head)
                if number:
                    count += number
                    check_count(count, max_events)
                    content = unpack(packed, first + number * EVENT.itemsize)
                    if len(content) < first + number * EVENT.itemsize:
                        raise struct.error(f"it ends inside its {number} events")
                    packets.append(np.frombuffer(content, EVENT, count=number, offset=first))
                    streams.add(stream)
        except (struct.error, RuntimeError, zstandard.ZstdError) as problem:
            raise InvalidEvents(f"the packet at byte {at} cannot be unpacked: {problem}") from problem
        at += 8 + size
    if len(streams) > 1:
        raise InvalidEvents(f"the recording holds {len(streams)} event streams; it must be from one camera")
    check_count(count, max_events)
    events = np.concatenate(packets)
    return unordered_events(events["t"], events["x"], events["y"], events["p"])


def _header(data: bytes) -> tuple[Unpack, int, int]:
    """The function that unpacks the file's packets, and the bytes at which the packets begin and end."""
    try:
        (size,) = struct.unpack_from("<I", data, len(MAGIC))
        start = len(MAGIC) + 4
        if start + size > len(data):
            raise InvalidEvents(f"the AEDAT 4.0 header says it has {size} bytes, but {len(data) - start} follow")
        header = data[start : start + size]
        compression, table = _field(header, 0), _field(header, 1)
        (method,) = struct.unpack_from("<i", header, compression) if compression else (0,)
        (position,) = struct.unpack_from("<q", header, table) if table else (-1,)
    except struct.error as problem:
        raise InvalidEvents("the AEDAT 4.0 header is broken or cut off") from problem
    end = position if position >= 0 else len(data)
    if not start + size <= end <= len(data):
        raise InvalidEvents(
            f"the AEDAT 4.0 header puts the end of the packets at byte {end}, but the recording has {len(data)} bytes"
        )
    return _unpacker(method), start + size, end


def _field(buffer: bytes, number: int) -> int:
    """The offset of field `number` of the FlatBuffer's root table, 0 if absent; `struct.error` outside the buffer."""
    (table,) = struct.unpack_from("<I", buffer)
    (back,) = struct.unpack_from("<i", buffer, table)
    vtable = table - back
    if vtable < 0:
        raise struct.error("a table lies outside its buffer")
    (size,) = struct.unpack_from("<H", buffer, vtable)
    if size < 6 + 2 * number:
        return 0
    (offset,) = struct.unpack_from("<H", buffer, vtable + 4 + 2 * number)
    return table + offset if offset else 0


def _vector(head: bytes) -> tuple[int, int]:
    """The offset of the events in an unpacked packet and their number, from the first bytes of the packet."""
    buffer = head[4:]
    pointer = _field(buffer, 0)
    if not pointer:
        return 0, 0
    vector = pointer + struct.unpack_from("<I", buffer, pointer)[0]
    return 4 + vector + 4, struct.unpack_from("<I", buffer, vector)[0]


def _unpacker(method: int) -> Unpack:
    """A function that unpacks the first bytes of a packet: 0 is stored, 1 and 2 are LZ4, 3 and 4 Zstandard."""
    if method == 0:
        return lambda packed, limit: packed[:limit]
    if method in (1, 2):
        return lambda packed, limit: bytes(lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=limit))
    if method not in (3, 4):
        raise InvalidEvents(f"the AEDAT 4.0 header names compression {method}; supported are 0 to 4")
    zstd = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)

    def unpack(packed: bytes, limit: int) -> bytes:
        with zstd.stream_reader(packed) as reader:
            return reader.read(limit)

    return unpack
