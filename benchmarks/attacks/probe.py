"""An honest client in a process of its own, which sends one request after another and keeps the times."""

import http.client
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

from benchmarks.attacks.requests import Address, Request, send

# A new connection for each request, as a load balancer's health check makes. One that takes longer counts as failed.
TIMEOUT_SECONDS = 60.0


@dataclass
class Seen:
    """Milliseconds until each answer, in the order of the requests, and how many were not answered with 200."""

    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def longest(self) -> float:
        """The longest wait for an answer: the longest silence of the service."""
        return max(self.milliseconds, default=float("nan"))

    @property
    def p99(self) -> float:
        """The 99th percentile of the waits."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else float("nan")

    @property
    def share_answered(self) -> float:
        """Share of the requests that got 200."""
        return 1 - self.failed / max(1, len(self.milliseconds))


def _ask(address: Address, request: Request, interval: float, stop: Event, out: Connection) -> None:
    seen = Seen()
    while not stop.is_set():
        began = time.perf_counter()
        try:
            status = send(address, request, timeout=TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException):
            status = 0
        seen.milliseconds.append((time.perf_counter() - began) * 1000)
        seen.failed += status != 200
        stop.wait(interval)
    out.send(seen)


@contextmanager
def probing(address: Address, request: Request, *, interval: float) -> Iterator[Seen]:
    """Send `request` every `interval` seconds while the block runs; what was seen is filled in at its end."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_ask, args=(address, request, interval, stop, sender), daemon=True)
    process.start()
    seen = Seen()
    try:
        yield seen
    finally:
        stop.set()
        if receiver.poll(2 * TIMEOUT_SECONDS):
            found: Seen = receiver.recv()
            seen.milliseconds, seen.failed = found.milliseconds, found.failed
        process.join(5)
        process.kill()
