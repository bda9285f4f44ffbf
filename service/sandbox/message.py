"""Messages between a service and its sandbox: a head of JSON and a body of bytes, in a file that has no name.

The file's descriptor travels over a Unix socket, the content does not: a message of any size is handed over at once,
and neither side waits for the other to read. Nothing is pickled.
"""

import json
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Sequence
from typing import Any

from typing_extensions import Buffer

_LENGTH = struct.Struct("<Q")
_SIGN = b"m"


class Spool:
    """Bytes in a nameless file in memory (on disk where the system has no such files), written piece by piece."""

    def __init__(self) -> None:
        self.size = 0
        self._fd: int | None = _nameless_file()

    def write(self, data: Buffer) -> None:
        """Append."""
        view = memoryview(data).cast("B")
        self.size += len(view)
        while view:
            view = view[os.write(self.fileno(), view) :]

    def fileno(self) -> int:
        """The open file's descriptor; `ValueError` after `close`."""
        if self._fd is None:
            raise ValueError("the spool is closed")
        return self._fd

    def close(self) -> None:
        """Give the memory back, unless another process holds the file too."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def send(connection: socket.socket, head: Any, body: Sequence[Buffer] | Spool = ()) -> None:
    """Send a message; `BrokenPipeError` or `ConnectionError` when nobody is there."""
    packed = json.dumps(head).encode()
    front = Spool()
    try:
        front.write(_LENGTH.pack(len(packed)))
        front.write(packed)
        descriptors = [front.fileno()]
        if isinstance(body, Spool):
            descriptors.append(body.fileno())
        else:
            for part in body:
                front.write(part)
        socket.send_fds(connection, [_SIGN], descriptors)
    finally:
        front.close()


def receive(connection: socket.socket) -> tuple[Any, memoryview] | None:
    """The next message; the body stays valid while it is referred to. None where the other side has gone."""
    sign, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
    if not sign:
        return None
    try:
        front = _mapped(descriptors[0])
        (length,) = _LENGTH.unpack_from(front)
        start = _LENGTH.size + length
        head = json.loads(bytes(front[_LENGTH.size : start]))
        return head, front[start:] if len(descriptors) == 1 else _mapped(descriptors[1])
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _mapped(descriptor: int) -> memoryview:
    size = os.fstat(descriptor).st_size
    return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)) if size else memoryview(b"")


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("sandbox", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
