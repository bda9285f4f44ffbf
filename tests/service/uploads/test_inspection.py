import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.datasets.inspect import inspect
from contract.errors import ArchiveTooLarge, InvalidDataset, Overloaded, ServiceError
from service.uploads.inspection import Inspection, inspect_aside
from tests.contract.datasets.archives import IMAGES, LIMITS, WIDE_LIMITS, image, packed

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that takes many seconds to check."""
    picture = image(size=(90, 90, 3))
    return packed(tmp_path_factory.mktemp("long") / "long.zip", {f"{n % 2}/{n}.png": picture for n in range(30_000)}, 0)


def checkers(parent: int) -> list[int]:
    """The processes that check an upload for the process `parent`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"\nPPid:\t{parent}\n" in (folder / "status").read_text()
            if is_child and b"service.uploads.inspection" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def started(parent: int) -> int:
    async with asyncio.timeout(60):
        while not (found := checkers(parent)):
            await asyncio.sleep(0.01)
    return found[0]


async def test_another_process_says_the_same(tmp_path: Path) -> None:
    path = packed(tmp_path / "pets.zip", IMAGES)

    assert await inspect_aside(path, "pets.zip", LIMITS) == inspect(path, "pets.zip", LIMITS)


async def test_what_is_wrong_is_told_as_it_is(tmp_path: Path) -> None:
    bad = packed(tmp_path / "é\n.zip", IMAGES | {"cat/é.png": b"?"})
    bomb = packed(tmp_path / "bomb.zip", IMAGES | {"cat/bomb.bmp": bytes(20_000_000)})

    with pytest.raises(InvalidDataset, match=r"^'cat/é\.png': neither an image nor"):
        await inspect_aside(bad, bad.name, LIMITS)
    with pytest.raises(ArchiveTooLarge, match=r"'cat/bomb\.bmp' unpacks to more"):
        await inspect_aside(bomb, bomb.name, LIMITS)


async def test_a_check_that_nobody_waits_for_is_ended(long: Path) -> None:
    checking = asyncio.create_task(inspect_aside(long, long.name, WIDE_LIMITS))
    process = await started(os.getpid())

    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking

    assert not Path(f"/proc/{process}").exists()


async def test_a_file_that_breaks_its_reader_breaks_nothing_else(long: Path) -> None:
    checking = asyncio.create_task(inspect_aside(long, long.name, WIDE_LIMITS))
    os.kill(await started(os.getpid()), signal.SIGSEGV)

    with pytest.raises(InvalidDataset, match="signal 11"):
        await checking


async def test_a_check_that_was_killed_is_not_the_files_fault(long: Path) -> None:
    checking = asyncio.create_task(inspect_aside(long, long.name, WIDE_LIMITS))
    os.kill(await started(os.getpid()), signal.SIGKILL)

    with pytest.raises(ServiceError, match="failed") as caught:
        await checking
    assert type(caught.value) is ServiceError


async def test_a_check_ends_with_a_service_that_is_killed(long: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from service.uploads.inspection import inspect_aside\n"
        "from tests.contract.datasets.archives import WIDE_LIMITS\n"
        "asyncio.run(inspect_aside(Path(sys.argv[1]), 'long.zip', WIDE_LIMITS))"
    )
    service = subprocess.Popen([sys.executable, "-c", code, str(long)], cwd=ROOT)
    try:
        process = await started(service.pid)
        await asyncio.sleep(1)  # by then it watches
        assert Path(f"/proc/{process}/cmdline").read_bytes()
    finally:
        service.kill()
        service.wait()

    ends = time.monotonic() + 5
    while Path(f"/proc/{process}").exists() and Path(f"/proc/{process}/cmdline").read_bytes():
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)


async def test_a_check_has_the_lowest_priority(long: Path) -> None:
    checking = asyncio.create_task(inspect_aside(long, long.name, WIDE_LIMITS))
    process = await started(os.getpid())
    async with asyncio.timeout(30):
        while os.getpriority(os.PRIO_PROCESS, process) < 10:
            await asyncio.sleep(0.01)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking


async def test_one_client_does_not_take_all_uploads() -> None:
    inspection = Inspection(max_uploads=3, max_of_client=2)
    with inspection.upload("a"), inspection.upload("a"):
        with pytest.raises(Overloaded), inspection.upload("a"):
            pass
        with inspection.upload("b"), pytest.raises(Overloaded), inspection.upload("c"):
            pass
        with inspection.upload("c"):
            pass


async def test_the_uploads_under_way_and_the_checks_are_bounded(long: Path) -> None:
    inspection = Inspection(max_uploads=2, max_checks=1)
    with inspection.upload(), inspection.upload(), pytest.raises(Overloaded), inspection.upload():
        pass
    with inspection.upload(), inspection.upload():
        checks = [asyncio.create_task(inspection.inspect(long, long.name, WIDE_LIMITS)) for _ in range(2)]
        await started(os.getpid())
        await asyncio.sleep(0.2)
        assert len(checkers(os.getpid())) == 1
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
    assert checkers(os.getpid()) == []
