"""A bounded queue of requests, and the batches that one device makes of them.

The queue belongs to the event loop; the network runs on one thread. Whatever waits when the device gets free runs
together, so batches grow with the load and nobody waits for one to fill unless `max_batch_wait_ms` says so.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from time import perf_counter

from service.card import Card
from service.checkpoint import Activity, Checkpoint, Sample
from service.errors import Overloaded, ShuttingDown
from service.power import EnergyMeter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request gets: an `Activity` a sample, in order, and what it took.

    `queue_ms` is the wait for the first batch, `compute_ms` the time on the device, over all batches when the request
    was split; `batch_size` the rows of the largest of them; `measured_mj` each sample's equal share of the energy that
    the hardware counted during its batch, None where that cannot be read.
    """

    activities: list[Activity]
    queue_ms: float
    compute_ms: float
    batch_size: int
    measured_mj: list[float | None]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that ran: the name on its card, its rows, and how long the longest waiting of its requests waited."""

    model: str
    rows: int
    requests: int
    queue_seconds: float
    compute_seconds: float
    joules: float | None


@dataclass(eq=False, slots=True)
class _Request:
    checkpoint: Checkpoint
    samples: Sequence[Sample]
    future: asyncio.Future[Answer]
    arrived: float
    dispatched: int = 0
    started: float | None = None
    compute_s: float = 0.0
    batch_size: int = 0
    activities: list[Activity] = field(default_factory=list)
    measured_mj: list[float | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Run:
    """What the device's thread hands back."""

    activities: list[Activity]
    started: float
    seconds: float
    joules: float | None


class Batcher:
    """Runs requests on one device, the oldest first, together with what waits for the same checkpoint.

    A batch has at most `max_batch_size` rows and `max_batch_cost` numbers fed to the network (rows x T x C x H x W),
    but always one row; a request of more rows is split. `max_queue_size` counts requests that wait. `on_batch` hears of
    each batch that succeeded; `meter` reads the device's energy.
    """

    def __init__(
        self,
        *,
        max_batch_size: int,
        max_batch_wait_ms: float,
        max_queue_size: int,
        max_batch_cost: int,
        on_batch: Callable[[BatchReport], None] | None = None,
        meter: EnergyMeter | None = None,
    ) -> None:
        self._max_batch_size = max_batch_size
        self._max_batch_wait_s = max_batch_wait_ms / 1000
        self._max_queue_size = max_queue_size
        self._max_batch_cost = max_batch_cost
        self._on_batch = on_batch
        self._meter = meter
        self._queue: list[_Request] = []
        self._arrival = asyncio.Event()
        self._stopping = False
        self._device = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._task: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Requests that wait, those partly dispatched included."""
        return len(self._queue)

    async def start(self) -> None:
        """Begin to run what is queued."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Take no more requests, finish what is queued, and leave."""
        self._stopping = True
        self._arrival.set()
        if self._task is not None:
            await self._task
        self._device.shutdown()

    async def submit(self, checkpoint: Checkpoint, samples: Sequence[Sample]) -> Answer:
        """Queue one request of at least one sample and wait for its answer.

        Raises `Overloaded` at once when the queue is full, `ShuttingDown` after `stop`, `ModelError` when the network
        gave no proper numbers, and whatever else the run raised. A cancelled caller leaves the queue.
        """
        if not samples:
            raise ValueError("a request needs at least one sample")
        if self._stopping:
            raise ShuttingDown("the service is shutting down")
        if len(self._queue) >= self._max_queue_size:
            raise Overloaded(f"{self._max_queue_size} requests are waiting already; try again later")
        request = _Request(checkpoint, samples, asyncio.get_running_loop().create_future(), perf_counter())
        self._queue.append(request)
        self._arrival.set()
        try:
            return await request.future
        finally:
            if request in self._queue:  # the caller has gone
                self._queue.remove(request)

    async def _work(self) -> None:
        while True:
            while not self._queue:
                if self._stopping:
                    return
                self._arrival.clear()
                await self._arrival.wait()
            await self._wait_for_company()
            if batch := self._take():
                await self._run(batch)

    async def _wait_for_company(self) -> None:
        """Give the oldest request's batch the time to fill that the settings allow, counted from its arrival."""
        while self._queue and not self._stopping:
            oldest = self._queue[0]
            left = oldest.arrived + self._max_batch_wait_s - perf_counter()
            if left <= 0:
                return
            rows = sum(len(r.samples) - r.dispatched for r in self._queue if r.checkpoint is oldest.checkpoint)
            if rows >= self._most_rows(oldest.checkpoint.card):
                return
            self._arrival.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrival.wait(), left)

    def _most_rows(self, card: Card) -> int:
        cost = card.timesteps * prod(card.input.shape)
        return max(1, min(self._max_batch_size, self._max_batch_cost // cost))

    def _take(self) -> list[tuple[_Request, Sequence[Sample]]]:
        """The next batch, as its requests with the samples of each; what is dispatched to the end leaves the queue."""
        self._queue = [request for request in self._queue if not request.future.done()]
        if not self._queue:
            return []
        checkpoint = self._queue[0].checkpoint
        room = self._most_rows(checkpoint.card)
        batch = []
        for request in [r for r in self._queue if r.checkpoint is checkpoint]:
            if room == 0:
                break
            samples = request.samples[request.dispatched : request.dispatched + room]
            request.dispatched += len(samples)
            room -= len(samples)
            batch.append((request, samples))
            if request.dispatched == len(request.samples):
                self._queue.remove(request)
        return batch

    async def _run(self, batch: list[tuple[_Request, Sequence[Sample]]]) -> None:
        checkpoint = batch[0][0].checkpoint
        rows = [sample for _, samples in batch for sample in samples]
        try:
            run = await asyncio.get_running_loop().run_in_executor(self._device, self._on_device, checkpoint, rows)
        except Exception as error:
            for request, _ in batch:
                if not request.future.done():
                    request.future.set_exception(error)
            return
        waits = [run.started - request.arrived for request, _ in batch if request.started is None]
        self._hand_out(batch, run)
        if self._on_batch is not None:
            name, longest = checkpoint.card.name, max(waits, default=0.0)
            try:
                self._on_batch(BatchReport(name, len(rows), len(batch), longest, run.seconds, run.joules))
            except Exception:
                log.exception("reporting a batch failed")

    def _on_device(self, checkpoint: Checkpoint, samples: Sequence[Sample]) -> _Run:
        before = self._meter.read() if self._meter else None
        started = perf_counter()
        activities = checkpoint.run(samples)
        seconds = perf_counter() - started
        after = self._meter.read() if self._meter else None
        # A counter that has not moved was not updated during so short a batch: unknown, not zero.
        joules = after - before if before is not None and after is not None and after > before else None
        return _Run(activities, started, seconds, joules)

    def _hand_out(self, batch: list[tuple[_Request, Sequence[Sample]]], run: _Run) -> None:
        activities = iter(run.activities)
        share_mj = None if run.joules is None else run.joules * 1000 / len(run.activities)
        for request, samples in batch:
            request.activities += [next(activities) for _ in samples]
            request.measured_mj += [share_mj] * len(samples)
            request.started = run.started if request.started is None else request.started
            request.compute_s += run.seconds
            request.batch_size = max(request.batch_size, len(run.activities))
            if len(request.activities) == len(request.samples) and not request.future.done():
                request.future.set_result(
                    Answer(
                        request.activities,
                        (request.started - request.arrived) * 1000,
                        request.compute_s * 1000,
                        request.batch_size,
                        request.measured_mj,
                    )
                )
