"""The time steps of live inputs that are due, of all of them, as batches on the device."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from contract.errors import ShuttingDown
from service.engine.interface import Activity, Engine, Sample, State
from service.inference.device_thread import DeviceThread

log = logging.getLogger(__name__)

Stepped = tuple[Activity, State]


@dataclass(eq=False, slots=True)
class _Due:
    """One step that waits: its input, the state before it (None: at rest), and the future of its outcome."""

    engine: Engine
    sample: Sample
    state: State | None
    future: asyncio.Future[Stepped]


class StepBatcher:
    """Advances live inputs on one device, all that wait for the same engine as one batch, the oldest first.

    It shares the device with ordinary requests: between two batches of steps runs what others have queued there. A live
    input waits for its step before it asks for the next one, so that it has one step in a batch at most, and those with
    many steps do not hold up the others.
    """

    def __init__(self, device: DeviceThread, *, max_batch_size: int) -> None:
        self._device = device
        self._max_batch_size = max_batch_size
        self._waiting: list[_Due] = []
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def step(self, engine: Engine, sample: Sample, state: State | None) -> Stepped:
        """The activity of one time step from `state`, and the next state; None begins at rest.

        Raises the network's error for this input, and `ShuttingDown` after `stop`. Of a caller that is cancelled,
        nothing remains.
        """
        if self._stopping:
            raise ShuttingDown("the service is shutting down")
        due = _Due(engine, sample, state, asyncio.get_running_loop().create_future())
        self._waiting.append(due)
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await due.future

    def stop(self) -> None:
        """Take no more steps; those that wait fail with `ShuttingDown`."""
        self._stopping = True
        for due in self._waiting:
            if not due.future.done():
                due.future.set_exception(ShuttingDown("the service is shutting down"))

    async def _work(self) -> None:
        try:
            while batch := self._take():
                await self._run(batch)
                # The inputs that have just been answered may be due again, and then join the next batch.
                await asyncio.sleep(0)
        finally:
            self._task = None

    def _take(self) -> list[_Due]:
        """The next batch: steps for the engine of the oldest one, without those whose callers have left."""
        self._waiting = [due for due in self._waiting if not due.future.done()]
        if not self._waiting:
            return []
        engine = self._waiting[0].engine
        room = min(self._max_batch_size, self._device.most_rows(engine) or self._max_batch_size)
        batch = [due for due in self._waiting if due.engine is engine][:room]
        self._waiting = [due for due in self._waiting if due not in batch]
        return batch

    async def _run(self, batch: list[_Due]) -> None:
        engine = batch[0].engine
        work = partial(_advance, engine, [due.sample for due in batch], [due.state for due in batch])
        outcomes: Sequence[Stepped | Exception]
        try:
            outcomes = await self._device.call(work)
        except Exception as error:  # of the device itself, not of a network
            outcomes = [error] * len(batch)
        for due, outcome in zip(batch, outcomes, strict=True):
            if due.future.done():
                continue
            if isinstance(outcome, Exception):
                due.future.set_exception(outcome)
            else:
                due.future.set_result(outcome)


def _advance(engine: Engine, samples: Sequence[Sample], states: Sequence[State | None]) -> list[Stepped | Exception]:
    """Step these inputs as one batch, or as two halves and so on where that fails, so that a bad input fails alone."""
    try:
        return list(engine.step(samples, [engine.initial_state() if state is None else state for state in states]))
    except Exception as error:
        if len(samples) == 1:
            return [error]
        log.warning("a batch of %d live inputs failed: %s", len(samples), type(error).__name__)
    half = len(samples) // 2
    return _advance(engine, samples[:half], states[:half]) + _advance(engine, samples[half:], states[half:])
