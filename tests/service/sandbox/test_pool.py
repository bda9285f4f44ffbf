import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.errors import InvalidImage, ServiceError
from service.sandbox.message import Spool
from service.sandbox.pool import Allowance, Crashed, Sandbox, TookTooLong, TooMuchMemory
from tests.service.sandbox.tasks import TASKS

MIB = 2**20


@asynccontextmanager
async def sandbox(
    processes: int = 1, memory_bytes: int = 64 * MIB, small_seconds: float | None = None
) -> AsyncIterator[Sandbox]:
    small = Allowance(memory_bytes, small_seconds)
    made = Sandbox(TASKS, processes=processes, small=small, large=Allowance(2 * memory_bytes))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def pid_of(made: Sandbox) -> int:
    return int((await made.run("echo", None))[0]["pid"])


async def ended(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_task_runs_in_another_process_and_answers_with_head_and_body() -> None:
    async with sandbox() as made:
        answer, body = await made.run("echo", {"a": [1, None]}, [b"some ", b"bytes"])

        assert answer["head"] == {"a": [1, None]}
        assert bytes(body) == b"some bytes"
        assert answer["pid"] != os.getpid()


async def test_a_body_of_many_megabytes_is_handed_over_and_back() -> None:
    async with sandbox() as made:
        spool = Spool()
        for _ in range(16):
            spool.write(bytes(range(256)) * 8192)
        _, body = await made.run("echo", None, spool)
        spool.close()

        assert bytes(body) == bytes(range(256)) * 8192 * 16


async def test_one_process_takes_task_after_task() -> None:
    async with sandbox() as made:
        assert await pid_of(made) == await pid_of(made)


async def test_tasks_run_beside_each_other_in_as_many_processes_as_there_are(tmp_path: Path) -> None:
    async with sandbox(processes=2) as made:
        busy = asyncio.create_task(made.run("sleep", str(tmp_path / "pid")))
        async with asyncio.timeout(20):
            await pid_of(made)
        busy.cancel()


async def test_what_the_task_refuses_is_refused_here() -> None:
    async with sandbox() as made:
        with pytest.raises(InvalidImage, match="not an image") as caught:
            await made.run("refuse", None)

        assert caught.value.param == "inputs[3]"


async def test_what_goes_wrong_in_a_task_is_not_shown_to_the_caller() -> None:
    async with sandbox() as made:
        with pytest.raises(ServiceError) as caught:
            await made.run("fail", None)

        assert "secret" not in caught.value.message
        await pid_of(made)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_what_a_task_writes_to_the_error_output_is_in_no_log() -> None:
    async with sandbox() as made:
        assert (await made.run("where_errors_go", None))[0] == [os.devnull, os.devnull]


async def test_a_task_that_is_cancelled_is_killed_and_its_process_replaced(tmp_path: Path) -> None:
    async with sandbox() as made:
        running = asyncio.create_task(made.run("sleep", str(tmp_path / "pid")))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
        pid = int((tmp_path / "pid").read_text())
        running.cancel()

        assert await ended(pid)
        async with asyncio.timeout(20):
            assert await pid_of(made) != pid


async def test_a_task_that_needs_too_much_memory_fails_alone() -> None:
    async with sandbox() as made:
        with pytest.raises(TooMuchMemory):
            await made.run("allocate", 128 * MIB)

        _, body = await made.run("allocate", 16 * MIB)
        assert len(body) == 16 * MIB


@pytest.mark.parametrize("task", ["panic", "abort"])
async def test_code_that_is_not_in_python_fails_in_its_own_way_without_memory(task: str) -> None:
    async with sandbox() as made:
        with pytest.raises(TooMuchMemory):
            await made.run(task, None)

        await pid_of(made)


async def test_a_large_task_has_more_memory_and_leaves_none_of_it_behind() -> None:
    async with sandbox() as made:
        before = await pid_of(made)
        _, body = await made.run("allocate", 100 * MIB, is_large=True)
        assert len(body) == 100 * MIB
        with pytest.raises(TooMuchMemory):
            await made.run("allocate", 150 * MIB, is_large=True)

        assert await ended(before)
        with pytest.raises(TooMuchMemory):
            await made.run("allocate", 100 * MIB)


async def test_a_small_task_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    async with sandbox(small_seconds=0.5) as made:
        with pytest.raises(TookTooLong):
            await made.run("sleep", str(tmp_path / "pid"))

        assert await ended(int((tmp_path / "pid").read_text()))
        await pid_of(made)


async def test_small_tasks_do_not_wait_for_large_ones(tmp_path: Path) -> None:
    async with sandbox(processes=2) as made:
        large = [asyncio.create_task(made.run("sleep", str(tmp_path / f"{n}"), is_large=True)) for n in range(3)]
        async with asyncio.timeout(20):
            while not list(tmp_path.iterdir()):
                await asyncio.sleep(0.02)
            for _ in range(3):
                await pid_of(made)
        assert len(list(tmp_path.iterdir())) == 1
        for each in large:
            each.cancel()
        await asyncio.gather(*large, return_exceptions=True)


async def test_a_task_that_ends_its_process_is_told_apart_and_the_process_replaced() -> None:
    async with sandbox() as made:
        with pytest.raises(Crashed) as caught:
            await made.run("crash", None)

        assert caught.value.signal == signal.SIGSEGV
        async with asyncio.timeout(20):
            await pid_of(made)


async def test_a_process_that_was_killed_while_idle_is_replaced_unnoticed() -> None:
    async with sandbox() as made:
        pid = await pid_of(made)
        os.kill(pid, signal.SIGKILL)
        assert await ended(pid)

        async with asyncio.timeout(20):
            assert await pid_of(made) != pid


async def test_stopping_kills_what_runs(tmp_path: Path) -> None:
    async with sandbox() as made:
        running = asyncio.create_task(made.run("sleep", str(tmp_path / "pid")))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
        running.cancel()
    assert await ended(int((tmp_path / "pid").read_text()))
