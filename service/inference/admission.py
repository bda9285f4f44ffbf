"""Admission: how many requests may wait, how much memory they may hold, and how long they may take.

A ticket accompanies a request from its head to its response. It bounds the request's time at every stage, and all that
ends a request early (its deadline, a client that disconnects, a shutdown) goes through it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Literal

from contract.errors import DeadlineExceeded, Overloaded, RequestTimeout, ServiceError, ShuttingDown, Unavailable

Stage = Literal["load", "body", "decode", "queue", "device"]
Reason = Literal["deadline", "slow_body", "client_left", "shutting_down"]

# A request whose body is still arriving takes no place: otherwise a hundred slow clients would shut out all others.
_WAITING: tuple[Stage, ...] = ("load", "decode", "queue")


class ClientLeft(Exception):
    """The client has disconnected, so there is nobody to answer."""


class Ticket:
    """One request. `deadline` is a time of the event loop, in seconds, infinite for a request without one.

    `stage` is `load` (its model may have to load first), `body` (being read), `decode`, `queue` or `device`.
    """

    def __init__(self, admission: "Admission", deadline: float, *, counted: bool) -> None:
        self.deadline = deadline
        self.stage: Stage = "load"
        self.held = 0
        self.ended: Reason | None = None
        self.is_answering = False
        self._admission = admission
        self._counted = counted
        self._waits = False
        self._timeout = asyncio.timeout_at(None if deadline == float("inf") else deadline)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - monotonic())

    def enter(self, stage: Stage) -> None:
        """Enter `stage`; `Overloaded` if requests wait in it and all places are taken."""
        waits = self._counted and stage in _WAITING
        if waits and not self._waits:
            self._admission.check_room()
        self._admission.requests += waits - self._waits
        self._waits = waits
        self.stage = stage

    def hold(self, size: int) -> None:
        """Hold `size` bytes from now on; `Overloaded` if the other requests do not leave enough."""
        if not self._counted:
            return
        if size > self.held:
            self._admission.check_bytes(size - self.held, own=self.held)
        self._admission.bytes += size - self.held
        self.held = size

    def allow(self, seconds: float | None) -> None:
        """Set the deadline to `seconds` from now, or to none. A request that was ended stays ended."""
        if self.ended is None and not self._timeout.expired():
            self.deadline = float("inf") if seconds is None else asyncio.get_running_loop().time() + seconds
            self._timeout.reschedule(None if seconds is None else self.deadline)

    def end(self, reason: Reason) -> None:
        """End the request now, at whatever stage. The first reason counts."""
        if self.ended is None and not self._timeout.expired():
            self.ended = reason
            self._timeout.reschedule(asyncio.get_running_loop().time())

    def answering(self) -> None:
        """The response has begun, so the deadline no longer applies."""
        self.is_answering = True
        if not self._timeout.expired():
            self._timeout.reschedule(None)

    def _failure(self) -> ServiceError | ClientLeft:
        match self.ended:
            case "client_left":
                return ClientLeft()
            case "shutting_down":
                return ShuttingDown("the service is shutting down")
            case "slow_body":
                return RequestTimeout("the body of the request arrives too slowly")
            case _ if self.stage == "load":
                return Unavailable("the model is still loading; try again", param="name")
            case _ if self.stage == "body":
                return RequestTimeout("the body did not arrive within the request's time")
            case _:
                return DeadlineExceeded(f"the request was not answered in time (stage: {self.stage})")


class Admission:
    """The bounds of all requests together: `max_requests` may wait, and hold `max_bytes`.

    The bytes are those of bodies while they are read and decoded, and of samples while they wait; a single request may
    hold more if there is no other. `on_drop` is called with the stage and the reason of each request that ends early.
    """

    def __init__(
        self, *, max_requests: int, max_bytes: int, on_drop: Callable[[Stage, Reason], None] | None = None
    ) -> None:
        self.requests = 0
        self.bytes = 0
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._on_drop = on_drop
        self._open: set[Ticket] = set()
        self._closed = False

    @asynccontextmanager
    async def request(
        self, *, seconds: float = float("inf"), announced: int = 0, counted: bool = True
    ) -> AsyncIterator[Ticket]:
        """Admit one request for `seconds`; `announced` is the length of its body in bytes, 0 if it is unknown.

        Raises `Overloaded` at once if there is no room, `ShuttingDown` after `close`. A request that ends early raises
        `Unavailable` if its deadline passes while its model loads, `RequestTimeout` while its body is read, otherwise
        `DeadlineExceeded`; or `ClientLeft` or `ShuttingDown`. If not `counted`, it has a deadline but no bounds.
        """
        if self._closed:
            raise ShuttingDown("the service is shutting down")
        if counted:
            self.check_bytes(announced)
        ticket = Ticket(self, asyncio.get_running_loop().time() + seconds, counted=counted)
        self._open.add(ticket)
        try:
            async with ticket._timeout:
                ticket.enter("load")
                yield ticket
        except TimeoutError:
            if not ticket._timeout.expired():  # not the ticket's
                raise
            self.dropped(ticket, ticket.ended or "deadline")
            raise ticket._failure() from None
        finally:
            self._open.discard(ticket)
            ticket.hold(0)
            ticket.enter("device")

    def close(self) -> None:
        """Admit no more requests, and end the open ones."""
        self._closed = True
        for ticket in list(self._open):
            ticket.end("shutting_down")

    def is_full(self, coming: int = 0) -> bool:
        """Whether no further request may wait, while `coming` others are on their way here."""
        return self.requests + coming >= self._max_requests

    def check_room(self) -> None:
        """`Overloaded` if no further request may wait."""
        if self.requests >= self._max_requests:
            raise Overloaded(f"{self._max_requests} requests are already waiting; try again later")

    def check_bytes(self, more: int, *, own: int = 0) -> None:
        """`Overloaded` if `more` bytes are too many for a request that holds `own`, unless it is the only one."""
        if self.bytes > own and self.bytes + more > self._max_bytes:
            raise Overloaded("the waiting requests hold all the memory they may; try again later")

    def dropped(self, ticket: Ticket, reason: Reason) -> None:
        """Report that a request was ended at its present stage."""
        if self._on_drop is not None:
            self._on_drop(ticket.stage, reason)
