"""Places that clients take in turns: nobody waits behind all that another client sends."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contract.errors import Overloaded


class Turns:
    """`places` places. Up to `max_waiting` tasks wait for one; a free place goes to the client whose turn it is."""

    def __init__(self, places: int, *, max_waiting: int) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the next client first

    @property
    def waiting(self) -> int:
        """Number of tasks that wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Hold a place; `Overloaded` at once if too many wait for one."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, client: str) -> None:
        if self.waiting >= self._max_waiting:
            raise Overloaded("too much is already waiting; try again later")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(client, place)
            else:  # it was given at the same moment
                self._leave()
            raise

    def _forget(self, client: str, place: asyncio.Future[None]) -> None:
        queue = self._waiting[client]
        queue.remove(place)
        if not queue:
            del self._waiting[client]

    def _leave(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        client, queue = next(iter(self._waiting.items()))
        del self._waiting[client]
        place = queue.popleft()
        if queue:
            self._waiting[client] = queue
        place.set_result(None)
