"""The requests that wait, and the batches that one device makes of them.

The queue belongs to the event loop; the network runs on one thread. Whatever waits when the device gets free runs
together, so batches grow with the load and nobody waits for one to fill unless `max_batch_wait_ms` says so.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from time import monotonic, perf_counter

from contract.errors import ShuttingDown
from service.engine.interface import Engine, ImageSample, Sample
from service.inference.admission import Admission, Ticket
from service.inference.device_thread import DeviceThread
from service.inference.pending import PendingRequest, Result, runs_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that ran: the name on its card, its rows, and how long the longest waiting of its requests waited."""

    model: str
    rows: int
    requests: int
    queue_seconds: float
    compute_seconds: float
    joules: float | None


_Batch = list[tuple[PendingRequest, Sequence[Sample]]]


class Batcher:
    """Runs requests on one device, the oldest first, together with what waits for the same engine.

    A batch has at most `max_batch_size` rows and `max_batch_cost` numbers fed to the network (rows x T x C x H x W),
    but always one row; a request of more rows is split. `admission` bounds what waits. `on_batch` hears of each batch
    that succeeded.
    """

    def __init__(
        self,
        device: DeviceThread,
        admission: Admission,
        *,
        max_batch_size: int,
        max_batch_wait_ms: float,
        max_batch_cost: int,
        on_batch: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._device = device
        self._admission = admission
        self._max_batch_size = max_batch_size
        self._max_batch_wait_s = max_batch_wait_ms / 1000
        self._max_batch_cost = max_batch_cost
        self._on_batch = on_batch
        self._queue: list[PendingRequest] = []
        self._arrival = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.last_run = float("-inf")

    @property
    def depth(self) -> int:
        """Requests that wait, those partly dispatched included."""
        return len(self._queue)

    async def start(self) -> None:
        """Begin to run what is queued."""
        self._task = asyncio.create_task(self._work())

    async def stop(self, seconds: float | None = None) -> bool:
        """Take no more requests, finish what is queued, and leave; False where that takes more than `seconds`.

        What is then still queued fails with `ShuttingDown`, and the batch on the device is left to itself.
        """
        self._stopping = True
        self._arrival.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
        is_done = self._task is None or self._task.done()
        if self._task is not None and not is_done:
            self._task.cancel()
            await asyncio.wait([self._task])
        for request in self._queue:
            request.fail(ShuttingDown("the service is shutting down"))
        self._device.stop(wait=is_done)
        return is_done

    async def submit(self, engine: Engine, samples: Sequence[Sample], ticket: Ticket | None = None) -> Result:
        """Queue one request of at least one sample and wait for its answer.

        Without a ticket it waits as long as it takes. Raises `Overloaded` at once when the queue is full,
        `ShuttingDown` after `stop`, `ModelError` when the network gave no proper numbers for one of the samples, and
        whatever else the network raised. A caller that is cancelled, or whose ticket ends, leaves the queue.
        """
        if not samples:
            raise ValueError("a request needs at least one sample")
        if self._stopping:
            raise ShuttingDown("the service is shutting down")
        if ticket is None:
            async with self._admission.request() as ticket:
                return await self.submit(engine, samples, ticket)
        ticket.hold(sum(_size(sample) for sample in samples))
        ticket.enter("queue")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        request = PendingRequest(engine, samples, ticket, future, perf_counter())
        self._queue.append(request)
        self._arrival.set()
        try:
            return await future
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
            rows = sum(len(r.samples) - r.dispatched for r in self._queue if r.engine is oldest.engine)
            if rows >= self._most_rows(oldest.engine):
                return
            self._arrival.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrival.wait(), left)

    def _most_rows(self, engine: Engine) -> int:
        cost = engine.card.timesteps * prod(engine.card.input.shape)
        fitting = self._device.most_rows(engine) or self._max_batch_size
        return max(1, min(self._max_batch_size, self._max_batch_cost // cost, fitting))

    def _take(self) -> _Batch:
        """The next batch, as its requests with the samples of each; what is dispatched to the end leaves the queue."""
        for request in self._queue:
            if request.ticket.deadline <= monotonic():  # in a busy event loop the ticket's own timer may be late
                request.ticket.end("deadline")
        self._queue = [each for each in self._queue if not (each.future.done() or each.ticket.ended)]
        if not self._queue:
            return []
        engine = self._queue[0].engine
        room = self._most_rows(engine)
        batch = []
        for request in [r for r in self._queue if r.engine is engine]:
            if room == 0:
                break
            samples = request.take(room)
            room -= len(samples)
            batch.append((request, samples))
            if request.dispatched == len(request.samples):
                self._queue.remove(request)
                request.ticket.hold(0)
                request.ticket.enter("device")
        return batch

    async def _run(self, batch: _Batch) -> None:
        engine = batch[0][0].engine
        firsts = [request for request, _ in batch if not request.outcomes]
        try:
            outcomes = await self._device.run(engine, [sample for _, samples in batch for sample in samples])
        except asyncio.CancelledError:
            for request, _ in batch:
                request.fail(ShuttingDown("the service is shutting down"))
            raise
        except Exception as error:  # the device itself, not a network
            for request, _ in batch:
                request.fail(error)
            return
        ended = iter(outcomes)
        for request, samples in batch:
            request.settle([next(ended) for _ in samples])
        runs = runs_of(outcomes)
        if runs:
            self.last_run = monotonic()
            longest = max((runs[0].started - request.arrived for request in firsts), default=0.0)
            for run in runs:
                self._report(BatchReport(engine.card.name, run.rows, len(batch), longest, run.seconds, run.joules))

    def _report(self, report: BatchReport) -> None:
        try:
            if self._on_batch is not None:
                self._on_batch(report)
        except Exception:
            log.exception("reporting a batch failed")


def _size(sample: Sample) -> int:
    """Bytes of a sample."""
    return sample.pixels.nbytes if isinstance(sample, ImageSample) else sample.events.nbytes
