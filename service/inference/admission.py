"""Admission: how many requests may wait, how much memory they may hold, and how long they may take.

A ticket accompanies a request from its head to its response. It bounds the request's time at every stage, and all that
ends a request early (its deadline, a client that disconnects, a shutdown) goes through it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Literal, Self

from contract.errors import DeadlineExceeded, Overloaded, RequestTimeout, ServiceError, ShuttingDown, Unavailable

Stage = Literal["load", "body", "decode", "queue", "device"]
Reason = Literal["deadline", "slow_body", "client_left", "shutting_down"]

# Bodies that are still arriving hold at most this share of the bytes, and those of one client at most this share of it:
# clients who keep back the last byte leave room for everybody else. Small bodies arrive in one piece and are left out.
BODIES_SHARE = 0.5
CLIENT_SHARE = 0.75
SMALL_BODY = 64 * 1024

# A deadline is kept within this time. One timer serves all open requests, and looks at each of them no more often.
PRECISION_SECONDS = 0.005

# A request whose body is still arriving takes no place: otherwise a hundred slow clients would shut out all others.
_WAITING: tuple[Stage, ...] = ("load", "decode", "queue")


class ClientLeft(Exception):
    """The client has disconnected, so there is nobody to answer."""


class Ticket:
    """One request, from `with` until its end. `deadline` is a time of the event loop, infinite for one without.

    `stage` is `load` (its model may have to load first), `body` (being read), `decode`, `queue` or `device`.
    """

    def __init__(self, admission: "Admission", deadline: float, *, places: bool, memory: bool, client: str) -> None:
        self.deadline = deadline
        self.client = client
        self.stage: Stage = "load"
        self.held = 0
        self.ended: Reason | None = None
        self.is_answering = False
        self._admission = admission
        self._places = places
        self._memory = memory
        self._waits = False
        self._arriving = 0
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def __enter__(self) -> Self:
        """Begin the request in the current task."""
        self.enter("load")
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._admission.open(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give back what the request held. If it was ended early, raise why."""
        failure = self._failure() if self._was_cancelled_here(kind) else None
        if failure is not None and self.ended is not None:
            self._admission.dropped(self, self.ended)
        self._task = None
        self._admission.left(self)
        self.hold(0)
        self.enter("device")
        if failure is not None:
            raise failure from None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - monotonic())

    def enter(self, stage: Stage) -> None:
        """Enter `stage`; `Overloaded` if requests wait in it and all places are taken."""
        if stage != "body":
            self._arrive(0)
        waits = self._places and stage in _WAITING
        if waits and not self._waits:
            self._admission.check_room()
        self._admission.requests += waits - self._waits
        self._waits = waits
        self.stage = stage

    def hold(self, size: int) -> None:
        """Hold `size` bytes from now on; `Overloaded` if the other requests do not leave enough."""
        if not self._memory:
            return
        if size > self.held:
            self._admission.check_bytes(size - self.held, own=self.held)
        if self.stage == "body" and size > SMALL_BODY:
            self._admission.check_arriving(size - self._arriving, client=self.client, own=self._arriving)
            self._arrive(size)
        self._admission.bytes += size - self.held
        self.held = size

    def _arrive(self, size: int) -> None:
        if size != self._arriving:
            arriving = self._admission.arriving
            arriving[self.client] += size - self._arriving
            self._arriving = size
            if not arriving[self.client]:
                del arriving[self.client]

    def allow(self, seconds: float | None) -> None:
        """Set the deadline to `seconds` from now, or to none. A request that was ended stays ended."""
        self.deadline = float("inf") if seconds is None else asyncio.get_running_loop().time() + seconds
        self._admission.watch(self.deadline)

    def end(self, reason: Reason) -> None:
        """End the request now, at whatever stage. The first reason counts."""
        if self.ended is None and self._task is not None:
            self.ended = reason
            self._task.cancel()

    def answering(self) -> None:
        """The response has begun, so the deadline no longer applies."""
        self.is_answering = True

    def is_due(self, now: float) -> bool:
        """Whether the deadline has passed by `now`, a time of the event loop."""
        return self.deadline <= now and not self.is_answering

    def _was_cancelled_here(self, kind: type[BaseException] | None) -> bool:
        """Whether the task leaves because of `end`, and not because somebody else cancels it too."""
        if self.ended is None or self._task is None:
            return False
        return self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

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
    """The bounds of all requests together: `max_requests` may wait, for `max_seconds`, and hold `max_bytes`.

    The bytes are those of bodies while they are read and decoded, and of samples while they wait; a single request may
    hold more if there is no other. `on_drop` is called with the stage and the reason of each request that ends early.
    """

    def __init__(
        self,
        *,
        max_requests: int,
        max_bytes: int,
        max_seconds: float = float("inf"),
        on_drop: Callable[[Stage, Reason], None] | None = None,
    ) -> None:
        self.requests = 0
        self.bytes = 0
        self.arriving: Counter[str] = Counter()
        """Bytes of bodies that are still arriving, by client."""
        self.closes = float("inf")
        """When `close` will be called, a time of the event loop; infinite while no shutdown has begun."""
        self.wait_seconds = 0.0
        """Time until a further request would run, as the queue estimates it."""
        self._max_requests = max_requests
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._on_drop = on_drop
        self._open: set[Ticket] = set()
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")
        self._looked = float("-inf")

    def request(
        self,
        *,
        seconds: float = float("inf"),
        announced: int = 0,
        places: bool = True,
        memory: bool = True,
        client: str = "",
    ) -> Ticket:
        """The ticket of one request for `seconds`, for a `with` statement around it.

        `announced` is the length of its body in bytes, 0 if it is unknown. Without `places` it does not count as a
        request that waits, and without `memory` its bytes do not count.

        Raises `Overloaded` at once if there is no room, `ShuttingDown` after `close`. A request that ends early raises
        `Unavailable` if its deadline passes while its model loads, `RequestTimeout` while its body is read, otherwise
        `DeadlineExceeded`; or `ClientLeft` or `ShuttingDown`.
        """
        if self._closed:
            raise ShuttingDown("the service is shutting down")
        if memory:
            self.check_bytes(announced)
            if announced > SMALL_BODY:
                self.check_arriving(announced, client=client)
        deadline = asyncio.get_running_loop().time() + seconds
        return Ticket(self, deadline, places=places, memory=memory, client=client)

    def open(self, ticket: Ticket) -> None:
        """Keep a request among those that have a deadline and that `close` ends."""
        self._open.add(ticket)
        self.watch(ticket.deadline)

    def left(self, ticket: Ticket) -> None:
        """Forget a request that is over."""
        self._open.discard(ticket)

    def close(self) -> None:
        """Admit no more requests, and end the open ones."""
        self._closed = True
        for ticket in list(self._open):
            ticket.end("shutting_down")

    def watch(self, deadline: float) -> None:
        """Look at the deadlines of all open requests at `deadline`, a time of the event loop, at the latest."""
        due = max(deadline, self._looked + PRECISION_SECONDS)
        if due < self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = asyncio.get_running_loop().call_at(due, self._end_late)

    def _end_late(self) -> None:
        self._timer, self._due = None, float("inf")
        self._looked = now = asyncio.get_running_loop().time()
        for ticket in self._open:
            if ticket.is_due(now):
                ticket.end("deadline")
        self.watch(min((each.deadline for each in self._open if each.deadline > now), default=float("inf")))

    def is_full(self, coming: int = 0) -> bool:
        """Whether no further request may wait, while `coming` others are on their way here."""
        return self.requests + coming >= self._max_requests or self.wait_seconds > self._max_seconds

    def check_room(self) -> None:
        """`Overloaded` if no further request may wait."""
        if self.requests >= self._max_requests:
            raise Overloaded(f"{self._max_requests} requests are already waiting; try again later")
        if self.wait_seconds > self._max_seconds:
            raise Overloaded(f"the waiting requests take more than {self._max_seconds:g} s; try again later")

    def check_bytes(self, more: int, *, own: int = 0) -> None:
        """`Overloaded` if `more` bytes are too many for a request that holds `own`, unless it is the only one."""
        if self.bytes > own and self.bytes + more > self._max_bytes:
            raise Overloaded("the waiting requests hold all the memory they may; try again later")

    def check_arriving(self, more: int, *, client: str, own: int = 0) -> None:
        """`Overloaded` if `more` bytes of a body that is arriving are too many beside the others, or its client's."""
        most = self._max_bytes * BODIES_SHARE
        for held, bound in ((self.arriving.total(), most), (self.arriving[client], most * CLIENT_SHARE)):
            if held > own and held + more > bound:
                raise Overloaded("the bodies that are arriving hold all the memory they may; try again later")

    def dropped(self, ticket: Ticket, reason: Reason) -> None:
        """Report that a request was ended at its present stage."""
        if self._on_drop is not None:
            self._on_drop(ticket.stage, reason)
