"""One request that waits for the device: its samples, what became of them so far, and its answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.engine.interface import Activity, Engine, Sample
from service.inference.admission import Ticket
from service.inference.device_thread import Outcome, Run


@dataclass(frozen=True, slots=True)
class Result:
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


@dataclass(eq=False, slots=True)
class PendingRequest:
    """A request in the queue. `arrived` is a `perf_counter`; the first `dispatched` samples have gone to the device."""

    engine: Engine
    samples: Sequence[Sample]
    ticket: Ticket
    future: asyncio.Future[Result]
    arrived: float
    dispatched: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def take(self, most: int) -> Sequence[Sample]:
        """The next samples that are to run, at most so many."""
        samples = self.samples[self.dispatched : self.dispatched + most]
        self.dispatched += len(samples)
        return samples

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Take over what became of the next samples; answer when all have run, fail when one has failed."""
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
                )
            )

    def fail(self, error: Exception) -> None:
        """Let the caller have `error`, unless it has gone or has its answer."""
        if not self.future.done():
            self.future.set_exception(error)


def runs_of(outcomes: Sequence[Outcome]) -> list[Run]:
    """The runs of these outcomes, each once, in order."""
    return list(dict.fromkeys(outcome.run for outcome in outcomes if outcome.run is not None))


def _share_mj(run: Run | None) -> float | None:
    return None if run is None or run.joules is None else run.joules * 1000 / run.rows
