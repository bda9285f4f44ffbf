import asyncio
from contextlib import AsyncExitStack

import pytest

from contract.errors import Overloaded
from service.sandbox.turns import Turns


class Waiters:
    """Tasks that want a place, and the order in which they got one."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.served: list[str] = []

    async def come(self, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._hold(name))
        await asyncio.sleep(0)
        return task

    async def _hold(self, name: str) -> None:
        async with self.turns.place(name[0]):
            self.served.append(name)


async def test_a_client_waits_for_one_task_of_each_other_client_at_most() -> None:
    turns = Turns(1, max_waiting=10)
    waiters = Waiters(turns)
    async with turns.place("z"):
        tasks = [await waiters.come(name) for name in ("a1", "a2", "a3", "b1", "b2", "c1")]
    await asyncio.wait_for(asyncio.gather(*tasks), 2)

    assert waiters.served == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_task_above_the_bound_is_refused_at_once() -> None:
    turns = Turns(2, max_waiting=1)
    waiters = Waiters(turns)
    async with turns.place("a"), turns.place("a"):
        waiting = await waiters.come("a1")
        with pytest.raises(Overloaded):
            async with turns.place("b"):
                pass
    await waiting

    assert waiters.served == ["a1"]


async def test_a_task_that_would_wait_too_long_is_refused_as_long_as_places_are_held_long() -> None:
    turns = Turns(1, max_waiting=10, max_wait_seconds=0.2, usual_seconds=0.15)
    waiters = Waiters(turns)
    async with turns.place("a"):
        first = await waiters.come("b1")
        with pytest.raises(Overloaded):
            async with turns.place("b"):
                pass
    await first
    for _ in range(20):
        async with turns.place("a"):
            pass
    async with turns.place("a"):
        tasks = [await waiters.come(f"c{n}") for n in range(9)]
    await asyncio.gather(*tasks)

    async with turns.place("a"):
        await asyncio.sleep(1.2)
    async with turns.place("a"):
        with pytest.raises(Overloaded):
            async with turns.place("b"):
                pass


async def test_a_task_that_no_longer_waits_is_passed_over_and_no_place_is_lost() -> None:
    turns = Turns(1, max_waiting=10)
    waiters = Waiters(turns)
    async with AsyncExitStack() as held:
        await held.enter_async_context(turns.place("z"))
        gone, next_one = await waiters.come("a1"), await waiters.come("b1")
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert turns.waiting == 1
        await held.aclose()  # the place is given to b1, which is cancelled before it notices
        next_one.cancel()
    await asyncio.gather(next_one, return_exceptions=True)

    assert waiters.served == []
    async with asyncio.timeout(1), turns.place("c"):
        pass


async def test_a_place_that_becomes_free_while_the_next_task_is_being_cancelled_goes_to_the_one_after() -> None:
    turns = Turns(1, max_waiting=10)
    waiters = Waiters(turns)
    async with turns.place("z"):
        gone, alone, last = [await waiters.come(name) for name in ("a1", "b1", "a2")]
        gone.cancel()
        alone.cancel()
    await asyncio.wait_for(last, 2)
    await asyncio.gather(gone, alone, return_exceptions=True)

    assert waiters.served == ["a2"]
    assert turns.waiting == 0
    async with asyncio.timeout(1), turns.place("c"):
        pass
