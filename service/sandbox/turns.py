"""Places that clients take in turns: nobody waits behind all that another client sends."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from contract.errors import Overloaded

_WEIGHT = 0.2  # of the latest time that a place was held, in the usual one


class Turns:
    """`places` places. A free place goes to the client whose turn it is.

    Up to `max_waiting` tasks wait, for up to `max_wait_seconds` if places are held as long as usual, at first
    `usual_seconds`.
    """

    def __init__(
        self, places: int, *, max_waiting: int, max_wait_seconds: float = float("inf"), usual_seconds: float = 0.0
    ) -> None:
        self._places = places
        self._free = places
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        self._usual_seconds = usual_seconds
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
        begun = monotonic()
        try:
            yield
        finally:
            self._usual_seconds += _WEIGHT * (monotonic() - begun - self._usual_seconds)
            self._leave()

    async def _wait(self, client: str) -> None:
        wait_seconds = (self.waiting + 1) * self._usual_seconds / self._places
        if self.waiting >= self._max_waiting or wait_seconds > self._max_wait_seconds:
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
        queue = self._waiting.get(client, deque())
        if place in queue:
            queue.remove(place)
            if not queue:
                del self._waiting[client]

    def _leave(self) -> None:
        while self._waiting:
            client, queue = next(iter(self._waiting.items()))
            del self._waiting[client]
            place = queue.popleft()
            if queue:
                self._waiting[client] = queue
            if not place.cancelled():  # whose task has not noticed yet
                place.set_result(None)
                return
        self._free += 1
