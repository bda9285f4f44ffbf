"""The thread that runs networks, and the recovery from a batch that fails."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from typing import TypeVar
from weakref import WeakKeyDictionary

from contract.errors import DeadlineExceeded, Overloaded, ServiceError, Unavailable
from service.engine.interface import Activity, Engine, Sample
from service.models.version import Loaded
from service.telemetry.power_window import Power, PowerWindow

# These say nothing about the samples: the server that runs the network elsewhere cannot be reached.
_ENGINE_UNAVAILABLE = (DeadlineExceeded, Overloaded, Unavailable)
REMEMBER_S = 60.0  # how long the size that fitted into memory bounds a model's batches

T = TypeVar("T")
Leads = Sequence[int] | None

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One successful call of the network: rows, start (`perf_counter`), seconds, and the device's power if measured."""

    rows: int
    started: float
    seconds: float
    power: Power | None

    @property
    def joules(self) -> float | None:
        """What the device drew meanwhile, at the power of the last window."""
        return None if self.power is None else self.power.busy_w * self.seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one sample: its activity and the run that gave it, or the error."""

    activity: Activity | None = None
    run: Run | None = None
    error: Exception | None = None


class DeviceThread:
    """One thread on which networks run, one batch after the other.

    A batch that fails runs again sample by sample, so that a bad sample fails alone. A batch that does not fit into
    memory is halved until it does; batches of that version stay as small for `REMEMBER_S`.
    """

    def __init__(self, *, power: PowerWindow | None = None) -> None:
        self._power = power
        self._thread = ThreadPoolExecutor(1, "device")
        self._fits: WeakKeyDictionary[Engine, tuple[int, float]] = WeakKeyDictionary()

    async def run(
        self, model: Loaded, samples: Sequence[Sample], leads: Leads = None, *, raster: bool = False
    ) -> list[Outcome]:
        """Run `samples` as one batch, or as several if that fails; one outcome each, in order.

        `leads` and `raster` as in `Engine.run`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, model, samples, leads, raster)

    async def call(self, work: Callable[[], T]) -> T:
        """Do other work of a network on this thread, between two batches; its error is the caller's."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._busy, work)

    def _busy(self, work: Callable[[], T]) -> T:
        with self._power.busy() if self._power else nullcontext():
            return work()

    def most_rows(self, engine: Engine) -> int | None:
        """The largest batch that fits into memory, None if no limit is known."""
        rows, until = self._fits.get(engine, (0, 0.0))
        return rows if monotonic() < until else None

    def stop(self, *, wait: bool) -> None:
        """Accept no more batches; with `wait`, return when the present one has ended."""
        self._thread.shutdown(wait=wait, cancel_futures=True)

    def _run(self, model: Loaded, samples: Sequence[Sample], leads: Leads, raster: bool) -> list[Outcome]:
        try:
            return self._once(model.engine, samples, leads, raster)
        except _ENGINE_UNAVAILABLE as error:
            return [Outcome(error=error)] * len(samples)
        except Exception as error:
            no_memory = is_out_of_memory(error)
            if len(samples) == 1:
                return [Outcome(error=_too_large(error) if no_memory else error)]
            log.warning("a batch of %d for %s failed: %s", len(samples), model.version.label, type(error).__name__)
        if not no_memory:
            return [outcome for sample in samples for outcome in self._run(model, [sample], leads, raster)]
        if model.engine.device.type == "cuda":
            import torch  # it runs the network

            torch.cuda.empty_cache()
        half = len(samples) // 2
        self._fits[model.engine] = (half, monotonic() + REMEMBER_S)
        halves = (samples[start : start + half] for start in range(0, len(samples), half))
        return [outcome for each in halves for outcome in self._run(model, each, leads, raster)]

    def _once(self, engine: Engine, samples: Sequence[Sample], leads: Leads, raster: bool) -> list[Outcome]:
        started = perf_counter()
        activities = self._busy(partial(engine.run, samples, leads, raster=raster))
        run = Run(len(samples), started, perf_counter() - started, self._power.power if self._power else None)
        return [Outcome(activity, run) for activity in activities]


def is_out_of_memory(error: Exception) -> bool:
    """Whether a network ran out of memory. torch has an exception for it on CUDA only, and not in scripted code."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _too_large(error: Exception) -> ServiceError:
    failure = ServiceError("the device does not have enough memory for this input")
    failure.__cause__ = error
    return failure
