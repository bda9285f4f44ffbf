"""All open connections: how many there may be, and the bounds that each of them keeps."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Protocol

from uvicorn.server import ServerState

from service.http.raw_response import RawResponse

# One client address never takes all of anything, so that others are served beside it.
CLIENT_SHARE = 0.75


@dataclass(frozen=True)
class Limits:
    """The bounds of connections. Times are in seconds.

    A client that sends a body, or reads an answer, moves `bytes_per_second` and may pause for `patience_seconds`.
    """

    connections: int = 4096
    head_seconds: float = 10.0
    head_bytes: int = 64 * 1024
    keep_alive_seconds: float = 5.0
    patience_seconds: float = 10.0
    bytes_per_second: int = 8192


class Progress:
    """How a client gets on: its patience drains with time, and the `bytes` that it sends or reads fill it up again."""

    def __init__(self, limits: Limits) -> None:
        self.bytes = 0
        self._limits = limits
        self._patience = 0.0
        self._since = 0.0

    def begin(self, now: float) -> None:
        """Begin with full patience."""
        self.bytes = 0
        self._patience = self._limits.patience_seconds
        self._since = now

    def is_too_slow(self, now: float) -> bool:
        """Whether the patience is over, by the bytes since the last call."""
        filled = self._patience + self.bytes / self._limits.bytes_per_second
        self._patience = min(self._limits.patience_seconds, filled) - (now - self._since)
        self.bytes = 0
        self._since = now
        return self._patience < 0


class Reading(Progress):
    """How a client gets on with what has been written to its transport."""

    def __init__(self, limits: Limits, transport: asyncio.WriteTransport, now: float) -> None:
        super().__init__(limits)
        self.begin(now)
        self._transport = transport
        self._unread = transport.get_write_buffer_size()

    def is_too_slow(self, now: float) -> bool:
        """Whether the patience is over, by what the client has read since the last call."""
        before, self._unread = self._unread, self._transport.get_write_buffer_size()
        self.bytes += max(0, before - self._unread)
        return super().is_too_slow(now)


class Gate(Protocol):
    """Decides at the head of a request whether there is room for it."""

    def refusal(self, method: bytes, url: bytes) -> RawResponse | None:
        """Return the response to a request for which there is no room, or None."""


class Connections(ServerState):
    """What all connections of a server share."""

    def __init__(self, limits: Limits, gate: Gate | None = None) -> None:
        super().__init__()
        self.limits = limits
        self.gate = gate
        self.refused = 0
        self.aborted = 0
        self._count = 0
        self._by_client: Counter[str] = Counter()

    def enter(self, client: str) -> bool:
        """Take a place for a connection of `client`; False if there is none."""
        most = self.limits.connections
        if self._count >= most or self._by_client[client] >= max(1, int(most * CLIENT_SHARE)):
            self.refused += 1
            return False
        self._count += 1
        self._by_client[client] += 1
        return True

    def leave(self, client: str) -> None:
        """Give the place back."""
        self._count -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]


@lru_cache(maxsize=1024)
def client_of(address: str) -> str:
    """Return the client that an IP address stands for: of IPv6 the /64 network, which one host may have to itself."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return address if found.version == 4 else str(ip_network((found, 64), strict=False))
