"""Writing files so that neither a crash nor a full disk leaves half of one: replace a file, append a line, sync.

An unfinished file has a hidden name, which readers ignore, and becomes visible in one rename.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 64 * 1024
_PIECE = 64 * 1024


def sync(path: Path) -> None:
    """Wait until a file, or the list of a folder's entries, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until everything under `folder` is on the disk."""
    for parent, _, files in os.walk(folder):
        for file in files:
            sync(Path(parent, file))
        sync(Path(parent))


@contextmanager
def replacing(target: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `target` in one step when the block ends.

    With `durable` the new content survives a power failure once the block has ended. When the block or the disk fails,
    `target` is unchanged and the space is free again. Writers of one `target`, in any process, take turns.
    """
    unfinished = unfinished_path(target)
    with _open_alone(unfinished) as file:
        try:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    if durable:
        sync(target.parent)


def unfinished_path(target: Path) -> Path:
    """Where `replacing` writes before the rename. A killed process leaves this file; the next writer reuses it."""
    return target.with_name(f".{target.name}")


def append_line(path: Path, line: bytes) -> None:
    """Append `line`, given without its line feed, so that lines of several processes never mix.

    If the last line was cut off by a full disk or a kill, `line` starts on a new one. Raises `OSError` where not all of
    `line` could be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # otherwise a line that is being written looks cut off
        size = os.fstat(descriptor).st_size
        is_cut_off = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = b"\n" * is_cut_off + line + b"\n"
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def lines_backwards(path: Path, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a file from its end, or from byte `end`, to its start, each with the byte behind it.

    The file is read in pieces, and only as far as lines are taken. Lines come without their line feed. A line without
    an end, and a line longer than `LONGEST_LINE`, is left out. Raises `OSError`.
    """
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END) if end is None else end
        rest: bytes | None = None  # the end of a line that begins further ahead; None while no line has an end yet
        while start > 0:
            size = min(_PIECE, start)
            start -= size
            file.seek(start)
            piece = file.read(size)
            if rest is None or len(rest) > LONGEST_LINE:
                piece, rest = piece[: piece.rfind(b"\n") + 1], b""
                if not piece:
                    rest = None
                    continue
            behind = start + len(piece) + len(rest)
            first, *lines = (piece + rest)[:-1].split(b"\n")
            for line in reversed(lines):
                if len(line) <= LONGEST_LINE:
                    yield behind, line
                behind -= len(line) + 1
            rest = first + b"\n"
        if rest is not None and len(rest) <= LONGEST_LINE:
            yield len(rest), rest[:-1]


def _open_alone(path: Path) -> BinaryIO:
    """Open `path` empty, holding its lock. A file that the previous holder has renamed meanwhile is not touched."""
    while True:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                file.truncate()
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
