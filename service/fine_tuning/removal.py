"""Deletion of ended jobs: the row in the database, and the folder with events and saved states."""

import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from contract.errors import JobNotDeletable
from contract.job_spec import LOCK_FILE
from service.fine_tuning.queries import JobQueries

_DELETED = ".deleted-"


def remove(queries: JobQueries, folder: Path, identity: str) -> None:
    """Delete an ended job, whose folder is `folder`. The versions that it has published stay. Blocks.

    `JobNotDeletable`, with everything as it was, for a job that has not ended or whose process has not.
    """
    aside = folder.with_name(f"{_DELETED}{folder.name}")
    if folder.is_dir():
        try:
            with FileLock(folder / LOCK_FILE).acquire(timeout=0):
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
        except Timeout:
            raise _not_deletable(identity, "is still being stopped") from None
    if not queries.delete(identity):
        with suppress(FileNotFoundError):
            aside.rename(folder)
        raise _not_deletable(identity, "is queued or running; cancel it first")
    shutil.rmtree(aside, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove the folders under `root` that a killed process was about to delete."""
    for folder in root.glob(f"{_DELETED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _not_deletable(identity: str, why: str) -> JobNotDeletable:
    return JobNotDeletable(f"job {identity!r} {why}", param="id")
