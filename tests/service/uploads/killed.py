"""A process that adds or deletes an upload and is killed at a given system call: FOLDER add|delete CALL."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.service.uploads.contents import put, uploads_in

UNHARMED = 7
"""The exit status when there were fewer calls."""
_calls = 0


def _killing(name: str, at: int) -> Callable[..., Any]:
    """The function `name` of `os`, which kills this process when the count of calls reaches `at`."""
    real = getattr(os, name)

    def call(*arguments: Any, **named: Any) -> Any:
        global _calls
        _calls += 1
        if _calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    return call


def main(folder: Path, place: str, at: int) -> None:
    uploads = uploads_in(folder)
    kept = put(uploads, b"kept")
    for name in ("open", "fsync", "replace", "unlink"):
        setattr(os, name, _killing(name, at))
    if place == "add":
        put(uploads, b"new")
    else:
        uploads.delete(kept.id)
    os._exit(UNHARMED)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
