"""Files that survive a crash: replaced in one step, and on the disk when the call returns."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def sync(path: Path) -> None:
    """Wait until a file or a folder's entries are on the disk."""
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
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `target` in one step, once it is whole and on the disk.

    Where writing fails, nothing of it stays, so that a full disk has room again.
    """
    unfinished = target.with_name(f".{target.name}")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
