"""Inspecting an upload in a process of its own.

Decoding untrusted data takes seconds or minutes of processor time, and a crash of a decoder must not affect anything
else. The process reads one file and writes one line of JSON. It runs at low priority and ends with the service.
"""

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, ConfigDict

from contract.datasets.inspect import Summary, inspect
from contract.datasets.layout import Limits
from contract.errors import ArchiveTooLarge, InvalidDataset, Overloaded, ServiceError

_ROOT = Path(__file__).parents[2]
_ERRORS: dict[str, type[ServiceError]] = {error.code: error for error in (InvalidDataset, ArchiveTooLarge)}
_NICENESS = 10
_EXTERNAL_SIGNALS = (-2, -9, -15)  # Ctrl-C, SIGKILL (out of memory) and SIGTERM are not the data set's fault


class _Task(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: Path
    filename: str
    max_unpacked_bytes: int
    max_samples: int
    max_image_pixels: int
    max_events: int


class _Outcome(BaseModel):
    summary: Summary | None = None
    code: str = ""
    message: str = ""


class Inspection:
    """Limits the uploads in progress, because each takes disk space, and the inspections that run at a time."""

    def __init__(self, max_uploads: int = 16, max_of_client: int = 12, max_checks: int = 2) -> None:
        self._max_uploads = max_uploads
        self._max_of_client = max_of_client
        self._uploads: Counter[str] = Counter()
        self._checks = asyncio.Semaphore(max_checks)

    @contextmanager
    def upload(self, client: str = "") -> Iterator[None]:
        """One upload, until its response; `Overloaded` at once if there are too many, altogether or of its client."""
        if self._uploads.total() >= self._max_uploads or self._uploads[client] >= self._max_of_client:
            raise Overloaded("too many uploads are already in progress; try again later")
        self._uploads[client] += 1
        try:
            yield
        finally:
            self._uploads[client] -= 1
            self._uploads += Counter()  # which drops clients without uploads

    async def inspect(self, path: Path, filename: str, limits: Limits) -> Summary:
        """Run `inspect_aside` when a slot is free."""
        async with self._checks:
            return await inspect_aside(path, filename, limits)


async def inspect_aside(path: Path, filename: str, limits: Limits) -> Summary:
    """Run `datasets.inspect` on the file at `path` in a process of its own, which ends if the call is cancelled.

    Raises the errors of `inspect`, and `InvalidDataset` for a file that crashes its reader.
    """
    task = _Task(path=path.absolute(), filename=filename, **asdict(limits))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "service.uploads.inspection"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(task.model_dump_json().encode() + b"\n")  # the process ends when this pipe closes
        output = await process.stdout.read()
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process.stdin.close()
    if status:
        if status < 0 and status not in _EXTERNAL_SIGNALS:
            raise InvalidDataset(f"the data set crashes the program that reads it (signal {-status})")
        raise ServiceError("inspecting the data set failed; the reason is in the service's log")
    outcome = _Outcome.model_validate_json(output)
    if outcome.summary is None:
        raise _ERRORS[outcome.code](outcome.message)
    return outcome.summary


def main() -> None:
    """Inspect the file that the first line of standard input names, and print the outcome."""
    task = _Task.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    os.nice(_NICENESS)
    limits = Limits(**task.model_dump(exclude={"path", "filename"}))
    try:
        outcome = _Outcome(summary=inspect(task.path, task.filename, limits))
    except (InvalidDataset, ArchiveTooLarge) as error:
        outcome = _Outcome(code=error.code, message=error.message)
    print(outcome.model_dump_json(), flush=True)


def _end_with_the_service() -> NoReturn:
    sys.stdin.read()  # until the other end is closed, even if the service was killed
    os._exit(1)


if __name__ == "__main__":
    main()
