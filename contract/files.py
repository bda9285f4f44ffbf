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
