"""`Session`: one stream of live events and its decisions, without a transport."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from contract.early_exit import lead_of
from contract.energy import Profile, estimate, operations_nj
from contract.events.geometry import Geometry
from service.engine.interface import Activity, EventSample, State
from service.inference.bodies import Exit
from service.inference.early_exit import leads_for
from service.inference.step_batcher import StepBatcher
from service.models.version import Loaded
from service.streams.event_steps import Step, StepLimits, steps_for
from service.streams.running_votes import Policy, RunningVotes


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What the caller of a stream asks for, and what it may cost."""

    profile: Profile
    policy: Policy = "running"
    exit: Exit = "none"
    geometry: Geometry = field(default_factory=Geometry)
    limits: StepLimits = field(default_factory=StepLimits)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the network says after one time step, from `start_us` to `end_us`.

    `scores` float64 `[K]` are those of the session's policy; of equal scores the lower class id wins. `spikes`,
    `accumulates`, `multiply_accumulates` and `estimate_nj` are those of this step, `..._total` of all so far. `skipped`
    steps lie before this one, and the network has begun anew. `latency_ms` is the time since the step's last event
    came, None if it has none. `final` says whether the network begins anew after it, None for a session without an
    exit.
    """

    step: int
    start_us: int
    end_us: int
    class_id: int
    label: str
    score: float
    scores: NDArray[np.float64]
    spikes: int
    spikes_total: int
    accumulates: int
    multiply_accumulates: int
    estimate_nj: float
    estimate_nj_total: float
    events: int
    late: int
    dropped: int
    skipped: int
    latency_ms: float | None
    final: bool | None


@dataclass(frozen=True, slots=True)
class SessionTotals:
    """What a session has done: steps, events kept, late and dropped, spikes, and the estimated energy."""

    steps: int
    events: int
    late: int
    dropped: int
    spikes_total: int
    estimate_nj_total: float


class Session:
    """Live events for one version of a model, which stays in use until the session ends.

    Feed it with `add`, and take what is due from `decisions` before adding more:

        with Session(model, "nmnist-stl", batcher, options) as session:
            session.add(events)
            async for decision in session.decisions():
                ...

    With an `exit` it decides on the model's T time steps, or fewer: once the decision leads by enough, the rest of the
    T steps is left out, and the network begins anew after them.

    The network's state lives on the device, in this session alone. An error of the network, or a cancellation while it
    runs, ends the session. Raises `WrongInputKind` or `InvalidParameter` for a model that takes no live events, and
    `InvalidParameter` for a geometry that does not fit its sensor or an exit that the model does not have.
    """

    def __init__(self, model: Loaded, name: str, batcher: StepBatcher, options: SessionOptions) -> None:
        card = model.engine.card
        self._steps = steps_for(card, name, options.limits)
        options.geometry.check(card.input.width, card.input.height)
        self._leads = leads_for(options.exit, name, model.engine)
        self._model = model
        self._card = card
        self._batcher = batcher
        self._options = options
        self._votes = RunningVotes(card, options.policy)
        self._state: State | None = None
        self._since_rest = 0  # time steps
        self._count = self._spikes = self._accumulates = self._macs = 0
        self._ended = False
        model.version.hold()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let go of the version and of the network's state."""
        if not self._ended:
            self._ended = True
            self._state = None
            self._steps.reset()
            self._model.version.release()

    @property
    def step_us(self) -> int:
        """Length of a time step in µs."""
        return self._steps.step_us

    @property
    def buffered_bytes(self) -> int:
        """Bytes of events that wait for their step."""
        return self._steps.buffered_bytes

    @property
    def totals(self) -> SessionTotals:
        """What the session has done so far."""
        energy = operations_nj(self._accumulates, self._macs, self._options.profile)
        return SessionTotals(self._count, self._steps.kept, self._steps.late, self._steps.dropped, self._spikes, energy)

    def add(self, events: NDArray[np.int64]) -> None:
        """Take events int64 `[N, 4]` (t in µs, x, y, p) in the order in which they came.

        Raises `InvalidEvents` for an event outside the model's sensor and `TooManyEvents` if too many wait; then none
        of them is taken.
        """
        if self._ended:
            raise RuntimeError("the session has ended")
        spec = self._card.input
        fitted = self._options.geometry.fit(events, spec.width, spec.height, spec.channels)
        self._steps.add(fitted, perf_counter())

    def flush(self) -> None:
        """Make the step of the latest event due, and all before it."""
        self._steps.flush()

    def reset(self) -> None:
        """Begin anew: the network at rest, the next event in step 0. Events that wait are gone; the totals stay."""
        self._steps.reset()
        self._begin()

    async def decisions(self) -> AsyncGenerator[Decision]:
        """The decisions of all steps that are due; the error of the network if it fails for this session."""
        while (step := self._steps.take()) is not None:
            if step.skipped:
                self._begin()
            engine = self._model.engine
            try:
                activity, self._state = await self._batcher.step(engine, EventSample(step.events), self._state)
            except BaseException:  # a step is missing, so that no later one would be right
                self.end()
                raise
            decision = self._decide(step, activity)
            if decision.final:
                self._steps.skip_to(step.index + 1 + self._card.timesteps - self._since_rest)
                self._begin()
            yield decision

    def _begin(self) -> None:
        self._state = None
        self._since_rest = 0
        self._votes.reset()

    def _is_final(self) -> bool:
        """Whether the decision leads by enough for an early exit, which after the last of the T steps it does."""
        assert self._leads is not None
        return bool(lead_of(self._votes.sums) >= self._leads[self._since_rest - 1])

    def _decide(self, step: Step, activity: Activity) -> Decision:
        scores = self._votes.add(activity.scores[0])
        best = int(scores.argmax())
        spikes = sum(activity.totals.spikes)
        profile = self._options.profile
        energy = estimate(self._card, activity.totals.synops, profile)
        accumulates, macs = energy["accumulates"], energy["multiply_accumulates"]
        self._count += 1
        self._since_rest += 1
        self._spikes += spikes
        self._accumulates += accumulates
        self._macs += macs
        return Decision(
            step=step.index,
            start_us=step.start_us,
            end_us=step.end_us,
            class_id=best,
            label=self._card.labels[best],
            score=float(scores[best]),
            scores=scores,
            spikes=spikes,
            spikes_total=self._spikes,
            accumulates=accumulates,
            multiply_accumulates=macs,
            estimate_nj=energy["estimate_nj"],
            estimate_nj_total=operations_nj(self._accumulates, self._macs, profile),
            events=len(step.events),
            late=step.late,
            dropped=step.dropped,
            skipped=step.skipped,
            latency_ms=None if step.arrived is None else (perf_counter() - step.arrived) * 1000,
            final=None if self._leads is None else self._is_final(),
        )
