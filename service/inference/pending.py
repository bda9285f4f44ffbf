"""One request in the queue: its samples, their outcomes so far, and its result."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.engine.interface import Activity, Sample
from service.inference.admission import Ticket
from service.inference.device_thread import Outcome, Run
from service.models.version import Loaded
from service.telemetry.power_window import Power


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one request: an `Activity` a sample, in order, and its times.

    `queue_ms` is the wait for the first batch; `compute_ms` the time on the device, over all batches if the request was
    split; `batch_size` the rows of the largest of them; `measured_mj` each sample's equal share of its batch's energy,
    None if it is unknown; `power` the measurement that the last of them comes from.
    """

    activities: list[Activity]
    queue_ms: float
    compute_ms: float
    batch_size: int
    measured_mj: list[float | None]
    power: Power | None = None


@dataclass(eq=False, slots=True)
class PendingRequest:
    """A request in the queue. `arrived` is a `perf_counter`; the first `dispatched` samples have gone to the device.

    `leads` end its samples early, and `raster` asks which neurons fire; see `Engine.run`.
    """

    model: Loaded
    samples: Sequence[Sample]
    ticket: Ticket
    future: asyncio.Future[Result]
    arrived: float
    leads: Sequence[int] | None = None
    raster: bool = False
    dispatched: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Number of samples that have not gone to the device."""
        return len(self.samples) - self.dispatched

    def take(self, most: int) -> Sequence[Sample]:
        """The next samples to run, at most this many."""
        samples = self.samples[self.dispatched : self.dispatched + most]
        self.dispatched += len(samples)
        return samples

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Add the outcomes of the next samples; resolve the request when all have run, fail it when one has failed."""
        self.outcomes += outcomes
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors:
            self.fail(errors[0])
        elif len(self.outcomes) == len(self.samples) and not self.future.done():
            runs = runs_of(self.outcomes)
            self.future.set_result(
                Result(
                    activities=[each.activity for each in self.outcomes if each.activity is not None],
                    queue_ms=(runs[0].started - self.arrived) * 1000,
                    compute_ms=sum(run.seconds for run in runs) * 1000,
                    batch_size=max(run.rows for run in runs),
                    measured_mj=[_share_mj(each.run) for each in self.outcomes],
                    power=next((run.power for run in reversed(runs) if run.power is not None), None),
                )
            )

    def fail(self, error: Exception) -> None:
        """Raise `error` at the caller, unless it has left or has its result."""
        if not self.future.done():
            self.future.set_exception(error)


def runs_of(outcomes: Sequence[Outcome]) -> list[Run]:
    """The runs of these outcomes, each once, in order."""
    return list(dict.fromkeys(outcome.run for outcome in outcomes if outcome.run is not None))


def _share_mj(run: Run | None) -> float | None:
    return None if run is None or run.joules is None else run.joules * 1000 / run.rows
