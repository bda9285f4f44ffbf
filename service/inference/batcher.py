"""The queue of requests, and the batches that one device runs from it.

The queue belongs to the event loop; the network runs on one thread. Everything queued for a model when the device
becomes free runs as one batch, so batches grow with the load; nothing waits for a batch to fill unless
`max_batch_wait_ms` is set.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import prod
from time import monotonic, perf_counter
from weakref import WeakKeyDictionary

from contract.errors import ShuttingDown
from service.engine.interface import Engine, ImageSample, Sample, blank_sample
from service.inference.admission import Admission, Ticket
from service.inference.device_thread import DeviceThread, Run
from service.inference.pending import PendingRequest, Result, runs_of
from service.models.version import Loaded

log = logging.getLogger(__name__)

_WEIGHT = 0.3  # of the latest batch in how long a row takes, if it took longer than those before

_Batch = list[tuple[PendingRequest, Sequence[Sample]]]


class Batcher:
    """Runs requests on one device, the oldest first, together with others for the same engine.

    Only requests whose samples end by the same leads, and which agree on the raster, run together. A batch has at most
    `max_batch_size` rows and `max_batch_cost` input values (rows x T x C x H x W), but always at least one row; a
    request with more rows is split. With `max_batch_wait_ms`, a model's requests wait that long for their batch to
    fill. `admission` bounds the queue. `on_run` is called with the model's name after each successful run of a network.
    """

    def __init__(
        self,
        device: DeviceThread,
        admission: Admission,
        *,
        max_batch_size: int,
        max_batch_wait_ms: float,
        max_batch_cost: int,
        on_run: Callable[[str, Run], None] | None = None,
    ) -> None:
        self._device = device
        self._admission = admission
        self._max_batch_size = max_batch_size
        self._max_batch_wait_s = max_batch_wait_ms / 1000
        self._max_batch_cost = max_batch_cost
        self._on_run = on_run
        self._queue: list[PendingRequest] = []
        self._rows: Counter[Engine] = Counter()
        self._row_seconds: WeakKeyDictionary[Engine, float] = WeakKeyDictionary()
        self._running_seconds = 0.0
        self._arrival = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.last_run = float("-inf")

    @property
    def depth(self) -> int:
        """Number of requests in the queue, including partly dispatched ones."""
        return len(self._queue)

    async def start(self) -> None:
        """Begin to run queued requests."""
        self._task = asyncio.create_task(self._work())

    async def stop(self, seconds: float | None = None) -> bool:
        """Accept no more requests and finish the queue; False if that takes more than `seconds`.

        Then the rest of the queue fails with `ShuttingDown`, and the batch on the device is abandoned.
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

    async def submit(
        self,
        model: Loaded,
        samples: Sequence[Sample],
        ticket: Ticket | None = None,
        leads: Sequence[int] | None = None,
        *,
        raster: bool = False,
    ) -> Result:
        """Queue one request of at least one sample and wait for its result; `leads` and `raster` as in `Engine.run`.

        Without a ticket there is no deadline. Raises `Overloaded` at once if the queue is full, `ShuttingDown` after
        `stop`, `ModelError` if the network gave invalid numbers for one of the samples, and any other error of the
        network. A caller that is cancelled, or whose ticket ends, leaves the queue.
        """
        if not samples:
            raise ValueError("a request needs at least one sample")
        if self._stopping:
            raise ShuttingDown("the service is shutting down")
        if ticket is None:
            with self._admission.request() as ticket:
                return await self.submit(model, samples, ticket, leads, raster=raster)
        ticket.hold(sum(_size(sample) for sample in samples))
        ticket.enter("queue")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        request = PendingRequest(model, samples, ticket, future, perf_counter(), leads, raster)
        self._queue.append(request)
        self._count(model.engine, len(samples))
        self._arrival.set()
        try:
            return await future
        except BaseException:
            if request in self._queue:  # the caller has left, or one of several batches has failed
                self._queue.remove(request)
                self._count(model.engine, -request.waiting)
            raise

    async def run_blank(self, model: Loaded) -> Result:
        """Run a blank sample like any other, only without its place and memory, for which there may be no room."""
        with self._admission.request(places=False, memory=False) as ticket:
            return await self.submit(model, [blank_sample(model.engine.card)], ticket)

    async def _work(self) -> None:
        while True:
            while not self._queue:
                if self._stopping:
                    return
                self._arrival.clear()
                await self._arrival.wait()
            engine, seconds = self._next()
            if seconds > 0:
                self._arrival.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._arrival.wait(), seconds)
            elif batch := self._take(engine):
                await self._run(batch)

    def _next(self) -> tuple[Engine, float]:
        """The engine whose batch is due, the one with the oldest request first; or the oldest, and its time to wait.

        A batch is due when it is full or when its oldest request has waited for `max_batch_wait_ms`, so a full batch of
        one model does not wait for another model's.
        """
        oldest = self._queue[0]
        left = oldest.arrived + self._max_batch_wait_s - perf_counter()
        if left <= 0 or self._stopping:
            return oldest.model.engine, 0.0
        rows: dict[Engine, int] = {}
        for request in self._queue:
            rows[request.model.engine] = rows.get(request.model.engine, 0) + request.waiting
        full = (engine for engine, count in rows.items() if count >= self._most_rows(engine))
        engine = next(full, None)
        return (oldest.model.engine, left) if engine is None else (engine, 0.0)

    def _most_rows(self, engine: Engine) -> int:
        cost = engine.card.timesteps * prod(engine.card.input.shape)
        fitting = self._device.most_rows(engine) or self._max_batch_size
        return max(1, min(self._max_batch_size, self._max_batch_cost // cost, fitting))

    def _take(self, engine: Engine) -> _Batch:
        """The next batch for `engine`: requests, each with its samples. Fully dispatched requests leave the queue."""
        now = monotonic()
        for request in self._queue:
            if request.ticket.is_due(now):  # in a busy event loop the timer of the deadlines may be late
                request.ticket.end("deadline")
        self._queue = [each for each in self._queue if not (each.future.done() or each.ticket.ended)]
        room = self._most_rows(engine)
        batch = []
        waiting = [each for each in self._queue if each.model.engine is engine]
        for request in [each for each in waiting if _is_alike(each, waiting[0])]:
            if room == 0:
                break
            samples = request.take(room)
            room -= len(samples)
            batch.append((request, samples))
            if request.waiting == 0:
                self._queue.remove(request)
                request.ticket.hold(0)
                request.ticket.enter("device")
        self._rows.clear()
        for request in self._queue:
            self._rows[request.model.engine] += request.waiting
        self._count(engine, 0)
        return batch

    def _count(self, engine: Engine, rows: int) -> None:
        """Count rows that wait, and estimate when a further one would run; at once while they do not fill a batch."""
        self._rows[engine] += rows
        if not self._rows[engine]:
            del self._rows[engine]
        batches, seconds = 0.0, self._running_seconds
        for each, count in self._rows.items():
            batches += count / self._most_rows(each)
            seconds += count * self._row_seconds.get(each, 0.0)
        self._admission.wait_seconds = seconds if batches >= 1 else 0.0

    def _measure(self, engine: Engine, seconds: float) -> None:
        """Note how long a row took: less at once, for large batches are quicker, and more by and by.

        So neither a network's first batch, which takes long, nor one that was held up counts for much.
        """
        before = self._row_seconds.get(engine, seconds)
        self._row_seconds[engine] = min(seconds, before + (seconds - before) * _WEIGHT)

    async def _run(self, batch: _Batch) -> None:
        model = batch[0][0].model
        started = perf_counter()
        rows = sum(len(samples) for _, samples in batch)
        self._running_seconds = rows * self._row_seconds.get(model.engine, 0.0)
        try:
            every = [sample for _, samples in batch for sample in samples]
            first = batch[0][0]
            outcomes = await self._device.run(model, every, first.leads, raster=first.raster)
        except asyncio.CancelledError:
            for request, _ in batch:
                request.fail(ShuttingDown("the service is shutting down"))
            raise
        except Exception as error:  # of the device itself, not of a network
            for request, _ in batch:
                request.fail(error)
            return
        finally:
            self._running_seconds = 0.0
        if all(outcome.error is None for outcome in outcomes):
            self._measure(model.engine, (perf_counter() - started) / rows)
        rest = iter(outcomes)
        for request, samples in batch:
            request.settle([next(rest) for _ in samples])
        for run in runs_of(outcomes):
            self.last_run = monotonic()
            self._report(model.version.name, run)

    def _report(self, model: str, run: Run) -> None:
        try:
            if self._on_run is not None:
                self._on_run(model, run)
        except Exception:
            log.exception("reporting a run failed")


def _is_alike(one: PendingRequest, other: PendingRequest) -> bool:
    """Whether two requests for an engine can be one batch."""
    return one.leads == other.leads and one.raster == other.raster


def _size(sample: Sample) -> int:
    """Bytes of a sample."""
    return sample.pixels.nbytes if isinstance(sample, ImageSample) else sample.events.nbytes
