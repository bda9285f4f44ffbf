from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.card import EventEncoder, read_card
from contract.errors import InvalidParameter, TooManyEvents, WrongInputKind
from service.streams.event_steps import EventSteps, Step, StepLimits, steps_for

STEP_US = 100
FLUSH = None
Row = tuple[int, int]  # time, and a number that tells events apart


def rows(*times: int) -> np.ndarray:
    return np.array([(t, index, 0, 0) for index, t in enumerate(times)], np.int64).reshape(-1, 4)


def drain(steps: EventSteps) -> list[Step]:
    return list(iter(steps.take, None))


def told(step: Step) -> tuple[int, int, int, list[list[int]], int, int, int]:
    return step.index, step.start_us, step.end_us, step.events.tolist(), step.late, step.dropped, step.skipped


@dataclass
class OneByOne:
    """The same rules for one event after another, in plain Python."""

    limits: StepLimits
    origin: int | None = None
    high: int = 0
    flushed: int = 0
    next: int = 0
    empty: int = 0
    skipped: int = 0
    bins: dict[int, list[Row]] = field(default_factory=dict)
    late: dict[int, int] = field(default_factory=dict)
    dropped: dict[int, int] = field(default_factory=dict)
    out: list[tuple[int, list[Row], int, int, int]] = field(default_factory=list)

    def add(self, row: Row) -> None:
        if self.origin is None:
            self.origin = self.high = row[0]
        self.high = max(self.high, row[0])
        earliest = max(self.high - self.limits.reorder_us, self.origin + self.flushed * STEP_US)
        step = (row[0] - self.origin) // STEP_US
        if row[0] < earliest:
            here = (earliest - self.origin) // STEP_US
            self.late[here] = self.late.get(here, 0) + 1
        elif len(self.bins.get(step, [])) < self.limits.max_events_per_s * STEP_US / 1e6:
            self.bins.setdefault(step, []).append(row)
        else:
            self.dropped[step] = self.dropped.get(step, 0) + 1
        self.decide(max(self.flushed, (self.high - self.limits.reorder_us - self.origin) // STEP_US))

    def flush(self) -> None:
        if self.origin is not None:
            self.flushed = (self.high - self.origin) // STEP_US + 1
            self.decide(self.flushed)

    def decide(self, closed: int) -> None:
        for step in range(self.next, closed):
            self.next = step + 1
            if step not in self.bins and self.empty == self.limits.max_empty_steps:
                self.skipped += 1
                continue
            events = sorted(self.bins.pop(step, []), key=lambda row: row[0])
            late = sum(self.late.pop(key) for key in sorted(self.late) if key <= step)
            self.out.append((step, events, late, self.dropped.pop(step, 0), self.skipped))
            self.skipped = 0
            self.empty = 0 if events else self.empty + 1


@given(
    moves=st.lists(st.one_of(st.integers(-150, 120), st.sampled_from([0, 0, 1, 99, 100, 900]), st.none()), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=8),
    reorder_us=st.sampled_from([0, 1, 60, 250]),
    rate=st.sampled_from([inf, 10_000.0, 25_000.0]),
    max_empty_steps=st.integers(0, 4),
    drained=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_any_chunks_give_the_steps_of_events_one_by_one(
    moves: list[int | None], cuts: list[int], reorder_us: int, rate: float, max_empty_steps: int, drained: bool
) -> None:
    limits = StepLimits(reorder_us, rate, max_empty_steps)
    reference, steps = OneByOne(limits), EventSteps(STEP_US, limits)
    found: list[Step] = []
    chunk: list[tuple[int, int, int, int]] = []
    time = 5_000

    def send() -> None:
        steps.add(np.array(chunk, np.int64).reshape(-1, 4))
        chunk.clear()
        if drained:
            found.extend(drain(steps))

    for number, move in enumerate(moves):
        if number in cuts or move is FLUSH:
            send()
        if move is FLUSH:
            steps.flush()
            reference.flush()
            continue
        time = max(0, time + move)
        reference.add((time, number))
        chunk.append((time, number, 0, 0))
    send()
    steps.flush()
    reference.flush()
    found += drain(steps)
    assert [(s.index, [(r[0], r[1]) for r in s.events.tolist()], s.late, s.dropped, s.skipped) for s in found] == (
        reference.out
    )
    assert steps.buffered_events == 0
    assert steps.kept == sum(len(step.events) for step in found)
    assert steps.kept + steps.late + steps.dropped == sum(move is not FLUSH for move in moves)


def test_a_step_is_due_when_an_event_of_a_later_step_comes() -> None:
    steps = EventSteps(STEP_US, StepLimits())
    steps.add(rows(1000, 1099))
    assert steps.take() is None
    steps.add(rows(1100))
    assert [told(step) for step in drain(steps)] == [(0, 1000, 1100, rows(1000, 1099).tolist(), 0, 0, 0)]


def test_a_step_waits_for_events_within_the_reorder_tolerance() -> None:
    steps = EventSteps(STEP_US, StepLimits(reorder_us=50))
    steps.add(rows(0, 149, 99, 98, 150))
    assert [step.events[:, 0].tolist() for step in drain(steps)] == [[0, 99]]
    assert steps.late == 1


def test_a_flush_makes_the_present_step_due_and_its_later_events_late() -> None:
    steps = EventSteps(STEP_US, StepLimits())
    steps.flush()
    assert steps.take() is None
    steps.add(rows(0, 250))
    steps.flush()
    assert [(step.index, len(step.events)) for step in drain(steps)] == [(0, 1), (1, 0), (2, 1)]
    steps.flush()
    assert drain(steps) == []
    steps.add(rows(299, 300))
    steps.flush()
    [step] = drain(steps)
    assert (step.index, step.late, len(step.events)) == (3, 1, 1)


def test_of_a_step_the_first_events_are_kept_as_many_as_the_rate_allows() -> None:
    steps = EventSteps(STEP_US, StepLimits(max_events_per_s=15_000))
    steps.add(rows(0, 1))
    steps.add(rows(2, 3, 100))
    steps.flush()
    assert [(step.events[:, 0].tolist(), step.dropped) for step in drain(steps)] == [([0, 1], 2), ([100], 0)]
    assert (steps.kept, steps.dropped) == (3, 2)


def test_a_long_gap_is_stepped_up_to_the_limit_and_told() -> None:
    steps = EventSteps(STEP_US, StepLimits(max_empty_steps=3))
    steps.add(rows(0, 100 * 2**40))
    steps.flush()
    assert [(step.index, step.skipped) for step in drain(steps)] == [
        (0, 0),
        (1, 0),
        (2, 0),
        (3, 0),
        (2**40, 2**40 - 4),
    ]


def test_steps_that_are_left_out_count_with_their_events_at_the_next_one() -> None:
    steps = EventSteps(STEP_US, StepLimits(reorder_us=50, max_events_per_s=15_000))
    steps.add(rows(0, 120, 130, 140, 150, 210, 160))
    taken = steps.take()
    assert taken is not None
    assert taken.index == 0
    steps.skip_to(3)
    assert steps.buffered_events == 0
    steps.add(rows(230, 310, 290, 460))
    steps.skip_to(2)  # which is behind
    [third] = drain(steps)
    assert (third.index, third.events[:, 0].tolist(), third.late, third.dropped, third.skipped) == (3, [310], 0, 8, 2)
    steps.flush()
    [fourth] = drain(steps)
    assert (fourth.index, fourth.events[:, 0].tolist(), fourth.dropped, fourth.skipped) == (4, [460], 0, 0)
    assert (steps.kept, steps.late, steps.dropped) == (3, 0, 8)


def test_no_more_events_wait_than_allowed() -> None:
    steps = EventSteps(STEP_US, StepLimits(max_buffered_events=3))
    steps.add(rows(0, 1, 100))
    with pytest.raises(TooManyEvents, match="more than 3 events wait for their time step"):
        steps.add(rows(101))
    assert (steps.buffered_events, steps.buffered_bytes) == (3, 96)
    steps.take()
    steps.add(rows(101, 102))
    assert steps.buffered_events == 3


def test_after_a_reset_the_next_event_begins_step_0() -> None:
    steps = EventSteps(STEP_US, StepLimits())
    steps.add(rows(500, 700))
    steps.reset()
    assert (steps.take(), steps.buffered_events) == (None, 0)
    steps.add(rows(100, 200))
    assert [told(step)[:3] for step in drain(steps)] == [(0, 100, 200)]


def test_a_step_says_when_its_last_event_came() -> None:
    steps = EventSteps(STEP_US, StepLimits())
    steps.add(rows(0), now=1.5)
    steps.add(rows(1), now=2.5)
    steps.add(rows(200), now=9.0)
    assert [step.arrived for step in drain(steps)] == [2.5, None]


def test_models_without_steps_of_a_fixed_length_take_no_live_events(tiny_store_root: Path) -> None:
    images = read_card(tiny_store_root / "tiny-image" / "1" / "model.pt")
    events = read_card(tiny_store_root / "tiny-events" / "1" / "model.pt")
    assert steps_for(events, "tiny-events", StepLimits()).step_us == 1000
    with pytest.raises(WrongInputKind, match="'tiny-image' takes images"):
        steps_for(images, "tiny-image", StepLimits())
    encoder = EventEncoder(binning="span", timesteps=8)
    with pytest.raises(InvalidParameter, match=r"8 equal parts, .* trained with binning 'step'"):
        steps_for(events.model_copy(update={"encoder": encoder}), "spans", StepLimits())
