"""Checks of uploads, in processes that can be killed.

A check begins as a small task, which takes a moment and little memory. Only what is not decided by then is checked as
a large task, one at a time: a data set that takes long to check delays no short check. Clients take turns.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from typing_extensions import Buffer

from contract.datasets.inspect import Summary, inspect
from contract.datasets.layout import Limits
from contract.errors import ArchiveTooLarge, InvalidDataset, Overloaded, Unavailable
from service.sandbox.pool import Allowance, Crashed, Sandbox, TookTooLong, TooMuchMemory

TASK = "check"

MAX_UPLOADS = 16
MAX_UPLOADS_OF_CLIENT = 12
SMALL_SECONDS = 2.0

# One such image or recording fits into the memory of a small check.
_SMALL_MEMORY_BYTES = 96 * 1024 * 1024
_SMALL_PIXELS = 2_000_000
_SMALL_EVENTS = 500_000


def check(head: Any, body: memoryview) -> tuple[Any, Sequence[Buffer]]:
    """The task of the sandbox: `inspect` the file at a path."""
    summary = inspect(Path(head["path"]), head["filename"], Limits(**head["limits"]))
    return summary.model_dump(mode="json"), []


class UploadChecks:
    """Limits the uploads in progress, because each takes disk space, and runs their checks.

    A check may take `seconds` and `memory_bytes`. It runs between `start` and `stop`.
    """

    def __init__(self, *, seconds: float, memory_bytes: int, small_seconds: float = SMALL_SECONDS) -> None:
        self._seconds = seconds
        self._uploads: Counter[str] = Counter()
        self._sandbox = Sandbox(
            {TASK: check},
            processes=2,
            small=Allowance(_SMALL_MEMORY_BYTES, small_seconds),
            large=Allowance(memory_bytes, seconds),
        )

    async def start(self) -> None:
        """Start the processes."""
        await self._sandbox.start()

    async def stop(self) -> None:
        """Kill the processes, whatever they check."""
        await self._sandbox.stop()

    @contextmanager
    def upload(self, client: str) -> Iterator[None]:
        """One upload, until its response; `Overloaded` at once if there are too many, altogether or of its client."""
        if self._uploads.total() >= MAX_UPLOADS or self._uploads[client] >= MAX_UPLOADS_OF_CLIENT:
            raise Overloaded("too many uploads are already in progress; try again later")
        self._uploads[client] += 1
        try:
            yield
        finally:
            self._uploads[client] -= 1
            self._uploads += Counter()  # which drops clients without uploads

    async def check(self, path: Path, filename: str, limits: Limits, client: str) -> Summary:
        """Inspect the data set at `path`; the check ends if the call is cancelled.

        Raises the errors of `inspect`, `ArchiveTooLarge` for a check that takes too much time or memory,
        `InvalidDataset` for a file that crashes its reader, and `Unavailable` if the process was killed from outside.
        """
        small = replace(
            limits,
            max_image_pixels=min(_SMALL_PIXELS, limits.max_image_pixels),
            max_events=min(_SMALL_EVENTS, limits.max_events),
        )
        try:
            try:
                return await self._run(path, filename, small, client, is_large=False)
            except (ArchiveTooLarge, TooMuchMemory, TookTooLong):
                return await self._run(path, filename, limits, client, is_large=True)
        except TookTooLong as error:
            raise ArchiveTooLarge(f"checking the data set takes more than {self._seconds:g} s; send a part") from error
        except TooMuchMemory as error:
            message = "checking the data set takes more memory than the service allows; send fewer or smaller members"
            raise ArchiveTooLarge(message) from error
        except Crashed as error:
            if error.is_from_outside:
                raise Unavailable("the check was interrupted; try again") from error
            message = f"the data set crashes the program that reads it (signal {error.signal})"
            raise InvalidDataset(message) from error

    async def _run(self, path: Path, filename: str, limits: Limits, client: str, *, is_large: bool) -> Summary:
        head = {"path": str(path.absolute()), "filename": filename, "limits": asdict(limits)}
        answer, _ = await self._sandbox.run(TASK, head, client=client, is_large=is_large)
        return Summary.model_validate(answer)
