"""Live events in, time steps out: each has exactly the events of one bin of the model's encoder."""

from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil

import numpy as np
from numpy.typing import NDArray

from contract.card import Card, EventEncoder
from contract.errors import InvalidParameter, TooManyEvents, WrongInputKind

EVENT_BYTES = 32  # of a row of four int64
_NO_EVENTS = np.empty((0, 4), np.int64)


@dataclass(frozen=True, slots=True)
class StepLimits:
    """What one stream may do.

    `reorder_us`: how much earlier than the latest event an event may be. `max_events_per_s`: of each step the first
    events are kept, as many as this rate allows for its length. `max_empty_steps`: how many steps in a row are stepped
    without an event. `max_buffered_events`: events that wait for their step to be taken.
    """

    reorder_us: int = 0
    max_events_per_s: float = float("inf")
    max_empty_steps: int = 100
    max_buffered_events: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One time step that is due: `events` int64 `[N, 4]` in the order of their times, from `start_us` to `end_us`.

    `late` events came too late for any step, counted at the step that was open when they came. `dropped` ones were too
    many for this step, or of a step that was left out before it. `skipped` steps lie before it: left out by `skip_to`,
    or so many without events that the state of the network is to begin anew. `arrived` is the time at which its last
    event came, None if it has none.
    """

    index: int
    start_us: int
    end_us: int
    events: NDArray[np.int64]
    late: int
    dropped: int
    skipped: int
    arrived: float | None


class EventSteps:
    """Cuts the events of one stream into time steps of `step_us`, whatever the chunks in which they come.

    The first event begins step 0, and no event comes before it. An event that is more than `reorder_us` earlier than
    the latest one is late: it is counted and left out. A step is due when no event can come for it any more: when there
    is an event `reorder_us` behind its end, or after `flush`. `kept`, `late` and `dropped` count the events so far.
    """

    def __init__(self, step_us: int, limits: StepLimits) -> None:
        self.step_us = step_us
        self._limits = limits
        self._budget = (
            max(1, ceil(limits.max_events_per_s * step_us / 1_000_000)) if limits.max_events_per_s != np.inf else None
        )
        self.kept = self.late = self.dropped = 0
        self.reset()

    def reset(self) -> None:
        """Forget all events and steps; the next event begins step 0."""
        self.buffered_events = 0
        self._origin: int | None = None
        self._high = 0
        self._flushed = 0  # steps below this one take no more events
        self._next = 0
        self._empty = 0
        self._skipped = 0
        self._open: list[int] = []  # a heap of the steps in `_blocks`
        self._blocks: dict[int, list[NDArray[np.int64]]] = {}
        self._counts: Counter[int] = Counter()
        self._arrived: dict[int, float] = {}
        self._late: Counter[int] = Counter()  # its keys rise
        self._dropped: Counter[int] = Counter()

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the events that wait for their step."""
        return self.buffered_events * EVENT_BYTES

    def add(self, events: NDArray[np.int64], now: float = 0.0) -> None:
        """Take events int64 `[N, 4]` in the order in which they came, at the time `now`.

        Raises `TooManyEvents`, and takes none of them, if more would wait than `max_buffered_events`.
        """
        if self.buffered_events + len(events) > self._limits.max_buffered_events:
            raise TooManyEvents(
                f"more than {self._limits.max_buffered_events} events wait for their time step", param="events"
            )
        if not len(events):
            return
        time = events[:, 0]
        if self._origin is None:
            self._origin = self._high = int(time[0])
        high = np.maximum.accumulate(np.maximum(time, self._high))
        self._high = int(high[-1])
        earliest = np.maximum(high - self._limits.reorder_us, self._origin + self._flushed * self.step_us)
        late = time < earliest
        if late.any():
            self.late += int(np.count_nonzero(late))
            for step, count in _counted((earliest[late] - self._origin) // self.step_us):
                self._late[step] += count
            events = events[~late]
        if len(events):
            self._sort(events, now)

    def flush(self) -> None:
        """Make every step due that has events; later events of these steps are late."""
        if self._origin is not None:
            self._flushed = max(self._flushed, (self._high - self._origin) // self.step_us + 1)

    def skip_to(self, index: int) -> None:
        """Leave out the steps before `index` that have not been taken; their events count as dropped, at `index`."""
        if index <= self._next:
            return
        self._skipped += index - self._next
        self._next, self._empty = index, 0
        while self._open and self._open[0] < index:
            step = heappop(self._open)
            del self._blocks[step], self._arrived[step]
            waiting = self._counts.pop(step, 0)
            self.kept -= waiting
            self.buffered_events -= waiting
            self.dropped += waiting
            self._dropped[index] += waiting + self._dropped.pop(step, 0)

    def take(self) -> Step | None:
        """The next step that is due, None if there is none."""
        if self._origin is None:
            return None
        closed = max(self._flushed, (self._high - self._limits.reorder_us - self._origin) // self.step_us)
        filled = min(self._open[0], closed) if self._open else closed
        if self._next < filled and self._empty >= self._limits.max_empty_steps:
            self._skipped += filled - self._next
            self._next = filled
        if self._next >= closed:
            return None
        index = self._next
        self._next += 1
        skipped, self._skipped = self._skipped, 0
        events, arrived = _NO_EVENTS, None
        if index == filled:
            heappop(self._open)
            blocks, arrived = self._blocks.pop(index), self._arrived.pop(index)
            events = np.concatenate(blocks)
            events = events[np.argsort(events[:, 0], kind="stable")]
            self.buffered_events -= self._counts.pop(index)
        self._empty = 0 if len(events) else self._empty + 1
        start = self._origin + index * self.step_us
        late, dropped = self._late_until(index), self._dropped.pop(index, 0)
        return Step(index, start, start + self.step_us, events, late, dropped, skipped, arrived)

    def _sort(self, events: NDArray[np.int64], now: float) -> None:
        """Lay the events into their steps, as far as these have room."""
        steps = (events[:, 0] - (self._origin or 0)) // self.step_us
        counted = _counted(steps)
        order = np.argsort(steps, kind="stable") if len(counted) > 1 else None
        at = 0
        for step, count in counted:
            block = events if order is None else events[order[at : at + count]]
            at += count
            if step < self._next:  # left out
                self._dropped[self._next] += count
                self.dropped += count
                continue
            if self._budget is not None:
                room = self._budget - self._counts[step]
                self._dropped[step] += max(0, count - room)
                self.dropped += max(0, count - room)
                block = block[:room].copy()  # a view would keep what was dropped
            if step not in self._blocks:
                self._blocks[step] = []
                heappush(self._open, step)
            self._arrived[step] = now
            if len(block):
                self._blocks[step].append(block)
                self._counts[step] += len(block)
                self.kept += len(block)
                self.buffered_events += len(block)

    def _late_until(self, index: int) -> int:
        count = 0
        while self._late and (first := next(iter(self._late))) <= index:
            count += self._late.pop(first)
        return count


def steps_for(card: Card, model: str, limits: StepLimits) -> EventSteps:
    """The time steps of an event model's encoder.

    Raises `WrongInputKind` for a model of images, and `InvalidParameter` for one whose bins have no fixed length.
    """
    if not isinstance(card.encoder, EventEncoder):
        raise WrongInputKind(f"model {model!r} takes images; only models of events take live events")
    if card.encoder.step_us is None:
        raise InvalidParameter(
            f"model {model!r} cuts each recording into {card.timesteps} equal parts, so it needs the whole recording; "
            "live events need a model trained with binning 'step'",
            param="model",
        )
    return EventSteps(card.encoder.step_us, limits)


def _counted(steps: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Each step of at least one, and how often it occurs, in ascending order."""
    first = int(steps[0])
    if (steps == first).all():  # as nearly always, and then a tenth of the work
        return [(first, len(steps))]
    found, counts = np.unique(steps, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))
