import asyncio
import io
import os
import signal
import struct
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from contract.datasets.inspect import inspect
from contract.errors import ArchiveTooLarge, InvalidDataset, Overloaded, Unavailable
from service.uploads.checks import UploadChecks
from tests.contract.datasets.archives import IMAGES, LIMITS, WIDE_LIMITS, image, packed

MIB = 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that takes many seconds to check."""
    picture = image(size=(90, 90, 3))
    return packed(tmp_path_factory.mktemp("long") / "long.zip", {f"{n % 2}/{n}.png": picture for n in range(20_000)}, 0)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return packed(tmp_path / "pets.zip", IMAGES)


@asynccontextmanager
async def running(seconds: float = 600, memory_bytes: int = 320 * MIB) -> AsyncIterator[UploadChecks]:
    checks = UploadChecks(seconds=seconds, memory_bytes=memory_bytes, small_seconds=0.3)
    await checks.start()
    try:
        yield checks
    finally:
        await checks.stop()


def checkers(path: Path) -> list[int]:
    """The processes that have the file at `path` open."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(Path(os.readlink(each)) == path for each in folder.iterdir()):
                found.append(int(folder.parent.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_process_of_the_sandbox_finds_what_inspection_finds(short: Path) -> None:
    async with running() as checks:
        assert await checks.check(short, "pets.zip", LIMITS, "a") == inspect(short, "pets.zip", LIMITS)


async def test_what_is_wrong_is_reported_as_it_is(tmp_path: Path) -> None:
    bad = packed(tmp_path / "é\n.zip", IMAGES | {"cat/é.png": b"?"})
    bomb = packed(tmp_path / "bomb.zip", IMAGES | {"cat/bomb.bmp": bytes(20_000_000)})

    async with running() as checks:
        with pytest.raises(InvalidDataset, match=r"^'cat/é\.png': neither an image nor"):
            await checks.check(bad, bad.name, LIMITS, "a")
        with pytest.raises(ArchiveTooLarge, match=r"'cat/bomb\.bmp' unpacks to more"):
            await checks.check(bomb, bomb.name, LIMITS, "a")


async def test_long_checks_run_one_at_a_time_and_delay_no_short_one(long: Path, short: Path) -> None:
    async with running() as checks:
        tasks = [asyncio.create_task(checks.check(long, long.name, WIDE_LIMITS, "a")) for _ in range(3)]
        await asyncio.sleep(1.5)  # by then all three have used up the time of a small check
        assert len(checkers(long)) == 1
        async with asyncio.timeout(2):
            await checks.check(short, short.name, LIMITS, "b")
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not checkers(long))


async def test_a_check_that_takes_too_long_is_ended_and_reported(long: Path) -> None:
    async with running(seconds=0.5) as checks:
        with pytest.raises(ArchiveTooLarge, match=r"takes more than 0\.5 s"):
            await checks.check(long, long.name, WIDE_LIMITS, "a")
        await until(lambda: not checkers(long))


async def test_a_check_that_takes_too_much_memory_is_reported(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (4000, 4000)).save(stream, "PNG")
    path = packed(tmp_path / "large.zip", {f"{n % 2}/{n}.png": stream.getvalue() for n in range(4)})
    limits = replace(LIMITS, max_image_pixels=4096 * 4096)

    async with running(memory_bytes=100 * MIB) as checks:
        with pytest.raises(ArchiveTooLarge, match="more memory"):
            await checks.check(path, path.name, limits, "a")
    async with running() as checks:
        assert (await checks.check(path, path.name, limits, "a")).samples == 4


async def test_images_of_too_many_pixels_together_are_refused_by_their_headers(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4096, 4096, 8, 6, 0, 0, 0))
    path = packed(tmp_path / "a.zip", {f"{n % 2}/{n:03}.png": header for n in range(130)})  # with no pixels at all

    async with running(seconds=5) as checks:
        with pytest.raises(ArchiveTooLarge, match=r"up to '1/127\.png' have more than 2147483648 pixels"):
            await checks.check(path, path.name, replace(WIDE_LIMITS, max_image_pixels=4096 * 4096), "a")


async def test_a_check_that_nobody_waits_for_is_ended(long: Path) -> None:
    async with running() as checks:
        checking = asyncio.create_task(checks.check(long, long.name, WIDE_LIMITS, "a"))
        await until(lambda: bool(checkers(long)))
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking

        await until(lambda: not checkers(long))


@pytest.mark.parametrize(
    ("number", "error", "says"),
    [(signal.SIGSEGV, InvalidDataset, "signal 11"), (signal.SIGKILL, Unavailable, "interrupted")],
)
async def test_a_crash_is_the_files_fault_and_a_kill_is_not(
    long: Path, number: int, error: type[Exception], says: str
) -> None:
    async with running() as checks:
        checking = asyncio.create_task(checks.check(long, long.name, WIDE_LIMITS, "a"))
        await until(lambda: bool(checkers(long)))
        os.kill(checkers(long)[0], number)
        with pytest.raises(error, match=says):
            await checking


async def test_the_uploads_of_one_client_and_of_all_are_bounded() -> None:
    checks = UploadChecks(seconds=1, memory_bytes=MIB)
    with ExitStack() as held:
        for client in "a" * 12 + "bcd":
            held.enter_context(checks.upload(client))
        with pytest.raises(Overloaded), checks.upload("a"):
            pass
        with checks.upload("b"), pytest.raises(Overloaded), checks.upload("e"):
            pass
    with checks.upload("a"):
        pass
