"""`LiveStream`: one client's messages in, decisions out, within its limits and whatever the transport."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from contract.errors import (
    DeadlineExceeded,
    InvalidParameter,
    Overloaded,
    RequestTimeout,
    ServiceError,
    ShuttingDown,
    TooLarge,
    TooManyEvents,
)
from contract.events.chunks import ChunkDecoder
from service.inference.admission import ClientLeft
from service.streams.answers import Ready, ServerMessage, closed_message, decision_message, error_message
from service.streams.messages import read_message
from service.streams.sessions import Decision, Session

PIECE_EVENTS = 4096  # decoded in one go, which takes less than a millisecond
LONGEST_TEXT = 64 * 1024  # bytes of a text message, which is parsed in one go
LAST_MESSAGES_SECONDS = 1.0  # for the messages after which the stream ends

Receive = Callable[[], Awaitable[bytes | str | None]]
Send = Callable[[bytes], Awaitable[None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """What one stream may do: events in a second, seconds without a message, in all, and to send a message."""

    events_per_s: int
    idle_seconds: float
    seconds: float
    send_seconds: float


class LiveStream:
    """One open stream, until `end` or the end of its `with` statement.

    `decoder` reads its binary messages, None if it takes only text. `on_decision` is called for each decision, `on_end`
    once.
    """

    def __init__(
        self,
        session: Session,
        decoder: ChunkDecoder | None,
        ready: Ready,
        limits: LiveLimits,
        *,
        scores: bool = False,
        on_decision: Callable[[Decision], None] = lambda _: None,
        on_end: Callable[["LiveStream"], None] = lambda _: None,
    ) -> None:
        self.session = session
        self._decoder = decoder
        self._ready = ready
        self._limits = limits
        self._scores = scores
        self._on_decision = on_decision
        self._on_end = on_end
        self._rate = _Rate(limits.events_per_s)
        self._time: asyncio.Timeout | None = None
        self._is_stopping = False
        self._has_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let go of the version, and of the stream's place."""
        if not self._has_ended:
            self._has_ended = True
            self.session.end()
            self._on_end(self)

    def stop(self) -> None:
        """Make `run` return soon: the service shuts down."""
        self._is_stopping = True
        if self._time is not None and not self._time.expired():
            self._time.reschedule(asyncio.get_running_loop().time())

    async def run(self, receive: Receive, send: Send) -> ServiceError | None:
        """Answer messages until the stream ends; the error that ended it, None if its client did.

        `receive` gives the next message, binary or text, None at the end. `send` takes a JSON object; it waits while
        the client does not read. Both raise `ClientLeft` for a client that has left. An error is sent to the client,
        except `Overloaded` for one that does not read, and then what the session has done.
        """
        error: ServiceError | None = None
        try:
            async with asyncio.timeout(self._limits.seconds) as self._time:
                if self._is_stopping:
                    self.stop()
                await self._send(send, self._ready)
                await self._answer(receive, send)
        except TimeoutError:
            error = self._timeout()
        except _NotReading as failure:
            return failure.error
        except ServiceError as failure:
            error = failure
        except ClientLeft:
            raise
        except Exception:
            log.exception("a live stream of %s failed", self._ready["model"])
            error = ServiceError("the service failed on this stream")
        finally:
            self._time = None
        return await self._last_messages(send, error)

    async def _answer(self, receive: Receive, send: Send) -> None:
        command: str | None = None
        while command != "close":
            message = await self._receive(receive)
            if message is None:
                break
            if isinstance(message, str):
                command = await self._take_text(message, send)
            else:
                await self._take_bytes(message, send)
        self.session.flush()
        await self._decide(send)
        if self._decoder is not None:
            self._decoder.end()

    async def _take_text(self, text: str, send: Send) -> str | None:
        """Take the events of a text message, or do its command and return it."""
        data = text.encode()
        if len(data) > LONGEST_TEXT:
            raise TooLarge(f"a text message has {LONGEST_TEXT} bytes at most; send events in binary messages")
        found = read_message(data, self._limits.events_per_s)
        if isinstance(found, np.ndarray):
            for start in range(0, len(found), PIECE_EVENTS):
                await self._add(found[start : start + PIECE_EVENTS], send)
            return None
        if found == "flush":
            self.session.flush()
            await self._decide(send)
        elif found == "reset":
            self.session.reset()
        return found

    async def _take_bytes(self, data: bytes, send: Send) -> None:
        """Decode a binary message, piece by piece, each once the one before has been decided."""
        if self._decoder is None:
            raise InvalidParameter("with format=json a stream takes text messages, not binary ones", param="format")
        for piece in _pieces(self._decoder, data):
            await self._add(self._decoder.feed(piece, self._decoder.most_events(len(piece))), send)

    async def _add(self, events: NDArray[np.int64], send: Send) -> None:
        self._rate.take(len(events))
        self.session.add(events)
        await self._decide(send)
        await asyncio.sleep(0)  # others come between two pieces

    async def _decide(self, send: Send) -> None:
        async with aclosing(self.session.decisions()) as decisions:
            async for decision in decisions:
                self._on_decision(decision)
                await self._send(send, decision_message(decision, scores=self._scores))

    async def _receive(self, receive: Receive) -> bytes | str | None:
        seconds = self._limits.idle_seconds
        try:
            async with asyncio.timeout(seconds) as idle:
                return await receive()
        except TimeoutError:
            if idle.expired():
                raise RequestTimeout(f"no message came for {seconds:g} s (SNN_LIVE_IDLE_SECONDS)") from None
            raise

    async def _send(self, send: Send, message: ServerMessage) -> None:
        try:
            async with asyncio.timeout(self._limits.send_seconds) as slow:
                await send(to_json(message, inf_nan_mode="null"))
        except TimeoutError:
            if slow.expired():
                raise _NotReading from None
            raise

    async def _last_messages(self, send: Send, error: ServiceError | None) -> ServiceError | None:
        messages: list[ServerMessage] = [] if error is None else [error_message(error)]
        messages.append(closed_message(self.session.totals))
        try:
            async with asyncio.timeout(LAST_MESSAGES_SECONDS):
                for message in messages:
                    await send(to_json(message, inf_nan_mode="null"))
        except TimeoutError:
            return error or _NotReading.error
        return error

    def _timeout(self) -> ServiceError:
        if self._is_stopping:
            return ShuttingDown("the service is shutting down")
        return DeadlineExceeded(f"a stream lasts {self._limits.seconds:g} s at most (SNN_LIVE_SECONDS)")


class _NotReading(Exception):
    """The client does not read: what is sent to it would stay in memory."""

    error = Overloaded("the client does not read its decisions")


class _Rate:
    """How many events may come: as many as in one second at once, and as many again each second."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._left = float(per_s)
        self._since = monotonic()

    def take(self, count: int) -> None:
        """`TooManyEvents` if `count` more are too many."""
        now = monotonic()
        self._left = min(self._per_s, self._left + (now - self._since) * self._per_s) - count
        self._since = now
        if self._left < 0:
            raise TooManyEvents(
                f"a stream may send {self._per_s} events in a second (SNN_LIVE_EVENTS_PER_S)", param="events"
            )


def _pieces(decoder: ChunkDecoder, data: bytes) -> Iterator[memoryview]:
    """The data in pieces of whole words that hold at most `PIECE_EVENTS` events each, or of one word."""
    size = max(1, PIECE_EVENTS // decoder.MOST) * decoder.WORD.itemsize
    view = memoryview(data)
    for start in range(0, len(view), size):
        yield view[start : start + size]
