"""The disk space that uploads may take."""

import threading
from pathlib import Path

from contract.errors import InsufficientStorage


class Quota:
    """Limits the files in `folder`, those that are still arriving included, to `max_bytes`, whoever writes them.

    It measures the folder when an upload begins, and again when what has arrived since would exceed the limit.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._stored = 0
        self._lock = threading.Lock()

    def check(self, size: int) -> None:
        """`InsufficientStorage` unless another `size` bytes may be stored."""
        with self._lock:
            self._stored = self._measured()
            self._refuse_beyond(size)

    def take(self, size: int) -> None:
        """Count `size` bytes that are about to be written; `InsufficientStorage` if they exceed the limit."""
        with self._lock:
            if self._stored + size > self._max_bytes:
                self._stored = self._measured()
                self._refuse_beyond(size)
            self._stored += size

    def _measured(self) -> int:
        total = 0
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # removed in between
                continue
        return total

    def _refuse_beyond(self, size: int) -> None:
        if self._stored + size > self._max_bytes:
            raise InsufficientStorage(
                f"the uploads take {self._stored} of the {self._max_bytes} bytes that they may; delete files that are "
                "no longer needed"
            )
