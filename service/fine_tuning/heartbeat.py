"""Whether the worker of a running job is still alive, judged without comparing the clocks of two machines."""

import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from contract.job_spec import HEARTBEAT_FILE, LOST_AFTER_SECONDS


def is_lost(folder: Path, seconds_since_taken: float | None) -> bool:
    """Whether no worker has shown for `LOST_AFTER_SECONDS` that it runs the job in `folder`.

    A worker shows it by taking the job, whose age the database measures by its own clock, and then by rewriting its
    heartbeat file, whose age the file system measures by its own.
    """
    ages = [age for age in (seconds_since_taken, _heartbeat_age(folder)) if age is not None]
    return all(age > LOST_AFTER_SECONDS for age in ages)


def _heartbeat_age(folder: Path) -> float | None:
    """Seconds since the heartbeat file was written; None without one."""
    try:
        written = (folder / HEARTBEAT_FILE).stat().st_mtime
    except OSError:
        return None
    return _file_system_time(folder) - written


def _file_system_time(folder: Path) -> float:
    """The time at which the file system says that a file is written now, which a file server takes from its own clock.

    On a disk that is full or read-only, this machine's time.
    """
    probe = folder / f".probe-{uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
