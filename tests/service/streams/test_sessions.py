"""Streams give, step by step, what the whole recording gives, whatever else runs beside them."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.calibration import Calibration, ConformalRule, GapRule
from contract.card import Card
from contract.early_exit import exit_leads, steps_used
from contract.energy import PROFILES, estimate
from contract.errors import InvalidEvents, InvalidParameter, ModelError, ShuttingDown, WrongInputKind
from contract.events.geometry import Geometry, Window
from service.engine.interface import Activity, Engine, EventSample, Sample, State
from service.inference.bodies import Exit
from service.inference.device_thread import DeviceThread
from service.inference.step_batcher import StepBatcher
from service.models.version import Loaded
from service.streams.event_steps import StepLimits
from service.streams.sessions import Decision, Session, SessionOptions
from tests.service.models_in_memory import load_version
from tests.tiny import EVENT_STEP_US, EVENT_STEPS, moving_bar

OPTIONS = SessionOptions(PROFILES["cmos-45nm"])
POISON = 7  # events in a step at which `Watched` fails


class Watched:
    """The engine of a version, with its batches noted; it fails on a step of seven events if it is told to."""

    def __init__(self, engine: Engine, poisoned: bool = False) -> None:
        self.batches: list[int] = []
        self.card = engine.card
        self._engine = engine
        self._poisoned = poisoned

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def step(self, samples: Sequence[Sample], states: Sequence[State]) -> list[tuple[Activity, State]]:
        self.batches.append(len(samples))
        if self._poisoned and any(isinstance(each, EventSample) and len(each.events) == POISON for each in samples):
            raise ModelError("the network gave a number that is not finite")
        return self._engine.step(samples, states)


@pytest.fixture(scope="module")
def model(tiny_store_root: Path) -> Loaded:
    return load_version(tiny_store_root, "tiny-events")


@pytest.fixture
async def batcher() -> AsyncIterator[StepBatcher]:
    device = DeviceThread()
    made = StepBatcher(device, max_batch_size=32)
    yield made
    made.stop()
    device.stop(wait=True)


def bar(seed: int) -> NDArray[np.int64]:
    return shifted(moving_bar(np.random.default_rng(seed), right=bool(seed % 2)), 1_000_000)


def shifted(events: NDArray[np.int64], us: int) -> NDArray[np.int64]:
    return events + np.array([us, 0, 0, 0], np.int64)


def open_session(model: Loaded, batcher: StepBatcher, **changes: Any) -> Session:
    return Session(model, "tiny-events", batcher, SessionOptions(OPTIONS.profile, **changes))


async def play(session: Session, events: NDArray[np.int64], cuts: Sequence[int]) -> list[Decision]:
    """The decisions on `events` in chunks cut at `cuts`, the last step flushed."""
    found = []
    for chunk in np.split(events, sorted(cuts)):
        session.add(chunk)
        found += [decision async for decision in session.decisions()]
        await asyncio.sleep(0)
    session.flush()
    return found + [decision async for decision in session.decisions()]


def calibrated(card: Card, lead: int) -> Card:
    """The card of a model whose decision is sure after the first step that it leads by `lead` votes."""
    leads = (*[lead] * (card.timesteps - 1), 0)
    calibration = Calibration(
        measured_on="validation",
        samples=100,
        rule="gap",
        gap=GapRule(eps=0.01, leads=leads),
        conformal=ConformalRule(alpha=0.01, leads=leads),
    )
    return card.model_copy(update={"calibration": calibration})


def assert_as_whole(model: Loaded, events: NDArray[np.int64], found: list[Decision]) -> None:
    """The decisions are those of the whole recording, bit for bit."""
    card = model.engine.card
    [whole] = model.engine.run([EventSample(events)])
    assert len(found) == card.timesteps
    for step, decision in enumerate(found):
        scores = whole.scores[: step + 1].sum(axis=0) / ((step + 1) * card.voters)
        np.testing.assert_array_equal(decision.scores, scores)
        energy = estimate(card, whole.synops[: step + 1].sum(axis=0), OPTIONS.profile)
        alone = estimate(card, whole.synops[step], OPTIONS.profile)
        assert decision.step == step
        assert decision.class_id == scores.argmax()
        assert (decision.label, decision.score) == (card.labels[decision.class_id], scores.max())
        assert (decision.spikes, decision.spikes_total) == (whole.spikes[step].sum(), whole.spikes[: step + 1].sum())
        assert (decision.accumulates, decision.multiply_accumulates) == (
            alone["accumulates"],
            alone["multiply_accumulates"],
        )
        assert (decision.estimate_nj, decision.estimate_nj_total) == (alone["estimate_nj"], energy["estimate_nj"])
    assert whole.spikes.sum() > 0


@given(
    seeds=st.lists(st.integers(0, 50), min_size=1, max_size=5),
    cuts=st.lists(st.lists(st.integers(0, 60), max_size=12), min_size=5, max_size=5),
    size=st.integers(1, 6),
)
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chunks_give_the_decisions_of_the_whole_beside_any_other_streams(
    model: Loaded, seeds: list[int], cuts: list[list[int]], size: int
) -> None:
    async def all_at_once() -> list[list[Decision]]:
        device = DeviceThread()
        batcher = StepBatcher(device, max_batch_size=size)
        sessions = [open_session(model, batcher) for _ in seeds]
        ordinary = asyncio.create_task(device.run(model, [EventSample(bar(99))] * 2))
        try:
            return await asyncio.gather(
                *(play(s, bar(seed), places) for s, seed, places in zip(sessions, seeds, cuts, strict=False))
            )
        finally:
            outcomes = await ordinary
            np.testing.assert_array_equal(
                [each.activity.scores for each in outcomes if each.activity],
                [each.scores for each in model.engine.run([EventSample(bar(99))] * 2)],
            )
            batcher.stop()
            device.stop(wait=True)

    for seed, found in zip(seeds, asyncio.run(all_at_once()), strict=True):
        assert_as_whole(model, bar(seed), found)


async def test_the_steps_of_all_streams_run_as_one_batch_one_of_each(model: Loaded, batcher: StepBatcher) -> None:
    engine = Watched(model.engine)
    sessions = [open_session(Loaded(model.version, engine), batcher) for _ in range(8)]
    for index, session in enumerate(sessions):
        session.add(bar(index))
        session.flush()
    found = await asyncio.gather(*(play(session, np.empty((0, 4), np.int64), []) for session in sessions))
    assert engine.batches == [8] * EVENT_STEPS
    for index, decisions in enumerate(found):
        assert_as_whole(model, bar(index), decisions)


async def test_batches_stay_full_when_more_streams_are_due_than_fit(model: Loaded) -> None:
    device = DeviceThread()
    batcher = StepBatcher(device, max_batch_size=4)
    engine = Watched(model.engine)
    sessions = [open_session(Loaded(model.version, engine), batcher) for _ in range(6)]
    found = await asyncio.gather(*(play(session, bar(index), []) for index, session in enumerate(sessions)))
    assert engine.batches[:6] == [4] * 6
    for index, decisions in enumerate(found):
        assert_as_whole(model, bar(index), decisions)
    batcher.stop()
    device.stop(wait=True)


async def test_a_stream_with_many_steps_does_not_hold_up_another(model: Loaded, batcher: StepBatcher) -> None:
    long, short = (open_session(model, batcher) for _ in range(2))
    long.add(np.array([(0, 0, 0, 1), (100 * EVENT_STEP_US, 0, 0, 1)], np.int64))
    behind = asyncio.create_task(play(long, np.empty((0, 4), np.int64), []))
    await asyncio.sleep(0.01)
    found = await play(short, bar(1), [])
    assert_as_whole(model, bar(1), found)
    assert not behind.done()
    assert len(await behind) == 101


async def test_a_stream_that_fails_leaves_the_others_untouched(model: Loaded, batcher: StepBatcher) -> None:
    poisoned = Loaded(model.version, Watched(model.engine, poisoned=True))
    recordings = [events for events in map(bar, range(9)) if POISON not in np.bincount(step_of(events))][:3]
    bad = np.array([(0, 0, 0, 1)] * POISON, np.int64)
    sessions = [open_session(poisoned, batcher) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(play(session, events, []) for session, events in zip(sessions, [*recordings, bad], strict=True)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[-1], ModelError)
    before = model.version.users
    sessions[-1].end()
    assert model.version.users == before, "the error has ended the session"
    with pytest.raises(RuntimeError, match="has ended"):
        sessions[-1].add(bad)
    for events, found in zip(recordings, outcomes, strict=False):
        assert isinstance(found, list)
        assert_as_whole(model, events, found)


def step_of(events: NDArray[np.int64]) -> NDArray[np.int64]:
    steps: NDArray[np.int64] = (events[:, 0] - events[0, 0]) // EVENT_STEP_US
    return steps


async def test_nothing_of_a_stream_is_left_for_a_later_one(model: Loaded, batcher: StepBatcher) -> None:
    with open_session(model, batcher) as earlier:
        await play(earlier, bar(3), [])
        assert earlier._state is not None
        potentials = [weakref.ref(each) for each in earlier._state.potentials]
    await asyncio.sleep(0.01)  # the batcher lets go of its last batch
    gc.collect()
    assert potentials
    assert [each() for each in potentials] == [None] * len(potentials)
    assert_as_whole(model, bar(4), await play(open_session(model, batcher), bar(4), []))


async def test_a_stream_that_is_cancelled_leaves_the_others_untouched(model: Loaded, batcher: StepBatcher) -> None:
    engine = Watched(model.engine)
    sessions = [open_session(Loaded(model.version, engine), batcher) for _ in range(3)]
    tasks = [asyncio.create_task(play(session, bar(index), [20])) for index, session in enumerate(sessions)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert max(engine.batches) == 2
    for index in (0, 2):
        assert_as_whole(model, bar(index), outcomes[index])  # type: ignore[arg-type]


async def test_a_reset_begins_anew_and_the_totals_stay(model: Loaded, batcher: StepBatcher) -> None:
    with open_session(model, batcher) as session:
        first = await play(session, bar(1), [])
        session.add(shifted(bar(2)[:5], 10_000))
        session.reset()
        again = await play(session, bar(5), [30])
        assert [decision.step for decision in again] == list(range(EVENT_STEPS))
        np.testing.assert_array_equal(
            again[-1].scores, (await play(open_session(model, batcher), bar(5), []))[-1].scores
        )
        assert again[-1].spikes_total == first[-1].spikes_total + sum(decision.spikes for decision in again)
        assert session.totals.steps == 2 * EVENT_STEPS
        assert session.totals.events == len(bar(1)) + 5 + len(bar(5))
        assert session.totals.estimate_nj_total == again[-1].estimate_nj_total


async def test_after_a_gap_that_is_too_long_the_network_begins_anew(model: Loaded, batcher: StepBatcher) -> None:
    later = shifted(bar(3), 50 * EVENT_STEP_US)
    gap = (later[0, 0] - bar(2)[0, 0]) // EVENT_STEP_US - EVENT_STEPS
    session = open_session(model, batcher, limits=StepLimits(max_empty_steps=2))
    found = await play(session, np.concatenate([bar(2), later]), [])
    assert [decision.skipped for decision in found].count(0) == len(found) - 1
    [anew] = [index for index, decision in enumerate(found) if decision.skipped]
    assert (anew, found[anew].skipped) == (EVENT_STEPS + 2, gap - 2)
    [first] = model.engine.run([EventSample(later[later[:, 0] < found[anew].end_us])])
    np.testing.assert_array_equal(found[anew].scores, first.scores[0] / model.engine.card.voters)


@pytest.mark.parametrize(("exit", "lead"), [("lossless", 1), ("confident", 1), ("confident", 3)])
async def test_with_an_exit_each_t_steps_get_the_decision_of_a_recording_that_ends_early(
    model: Loaded, batcher: StepBatcher, exit: Exit, lead: int
) -> None:
    card = calibrated(model.engine.card, lead)
    whole = EVENT_STEPS * EVENT_STEP_US
    recordings = [shifted(bar(seed), at * whole - bar(seed)[0, 0]) for at, seed in enumerate([1, 2, 5])]
    recordings = [each[each[:, 0] < (at + 1) * whole] for at, each in enumerate(recordings)]
    activities = model.engine.run([EventSample(each) for each in recordings])
    leads = exit_leads(card, confident=exit == "confident")
    assert leads is not None
    used = steps_used(np.stack([each.scores for each in activities]), leads)
    left_out = [
        np.count_nonzero(each[:, 0] >= at * whole + steps * EVENT_STEP_US)
        for at, (each, steps) in enumerate(zip(recordings, used, strict=True))
    ]

    watched = Watched(model.engine)
    watched.card = card
    found = await play(
        open_session(Loaded(model.version, watched), batcher, exit=exit), np.concatenate(recordings), [7, 30, 31]
    )
    first, second, third = (
        [decision for decision in found if decision.step // EVENT_STEPS == at] for at in range(len(recordings))
    )
    assert [len(first), len(second), len(third)] == used.tolist()
    assert [decision for decision in found if decision.final] == [first[-1], second[-1], third[-1]]
    for last, activity, steps in zip((first[-1], second[-1], third[-1]), activities, used, strict=True):
        scores = activity.scores[:steps].sum(0) / (steps * card.voters)
        np.testing.assert_array_equal(last.scores, scores)
        assert last.class_id == scores.argmax()
    assert [second[0].skipped, third[0].skipped] == (EVENT_STEPS - used[:2]).tolist()
    assert [second[0].dropped, third[0].dropped] == left_out[:2]
    assert sum(left_out) > 0 or lead > 1 or exit == "lossless"
    assert len(watched.batches) == used.sum()


async def test_an_exit_needs_a_model_that_has_it(model: Loaded, batcher: StepBatcher) -> None:
    with pytest.raises(InvalidParameter, match="calibrate tiny-events"):
        open_session(model, batcher, exit="confident")
    assert (await play(open_session(model, batcher), bar(1), []))[-1].final is None


async def test_the_policies_weigh_the_steps(model: Loaded, batcher: StepBatcher) -> None:
    events = np.concatenate([bar(1), shifted(bar(2), EVENT_STEPS * EVENT_STEP_US + 500)])
    found = {
        policy: await play(open_session(model, batcher, policy=policy), events, [])
        for policy in ("running", "window", "leaky")
    }
    running = np.array([decision.scores for decision in found["running"]])
    counts = np.arange(1, len(running) + 1)[:, np.newaxis]
    votes = np.diff(running * counts, axis=0, prepend=0).round(9)
    assert len(votes) > EVENT_STEPS
    assert votes.any()
    keep = 1 - 1 / EVENT_STEPS
    for step in range(len(votes)):
        window = votes[max(0, step + 1 - EVENT_STEPS) : step + 1].mean(axis=0)
        np.testing.assert_allclose(found["window"][step].scores, window, atol=1e-9)
        weights = keep ** np.arange(step, -1, -1)
        leaky = (votes[: step + 1] * weights[:, np.newaxis]).sum(axis=0) / weights.sum()
        np.testing.assert_allclose(found["leaky"][step].scores, leaky, atol=1e-9)


async def test_a_version_stays_in_use_until_the_session_ends(model: Loaded, batcher: StepBatcher) -> None:
    before = model.version.users
    with open_session(model, batcher) as session:
        assert model.version.users == before + 1
    session.end()
    assert model.version.users == before


async def test_what_does_not_fit_the_model_is_refused_before_the_version_is_held(
    model: Loaded, tiny_store_root: Path, batcher: StepBatcher
) -> None:
    before = model.version.users
    with pytest.raises(InvalidParameter, match="gives 9 x 8 pixels"):
        open_session(model, batcher, geometry=Geometry(crop=Window(0, 0, 9, 8)))
    with pytest.raises(WrongInputKind):
        Session(load_version(tiny_store_root, "tiny-image"), "tiny-image", batcher, OPTIONS)
    assert model.version.users == before


async def test_events_of_a_larger_sensor_are_brought_onto_the_models(model: Loaded, batcher: StepBatcher) -> None:
    larger = bar(1) * np.array([1, 2, 2, 1], np.int64) + np.array([0, 100, 50, 0], np.int64)
    session = open_session(model, batcher, geometry=Geometry(crop=Window(100, 50, 16, 16), downsample=2))
    assert_as_whole(model, bar(1), await play(session, larger, [7]))
    with pytest.raises(InvalidEvents, match="outside the model's sensor"):
        open_session(model, batcher).add(larger)


async def test_late_and_dropped_events_are_counted(model: Loaded, batcher: StepBatcher) -> None:
    session = open_session(model, batcher, limits=StepLimits(max_events_per_s=3000))
    session.add(np.array([(5000, 0, 0, 1)] * 4 + [(4000, 0, 0, 1), (6000, 0, 0, 1)], np.int64))
    session.flush()
    found = [decision async for decision in session.decisions()]
    assert [(d.step, d.start_us, d.end_us, d.events, d.late, d.dropped) for d in found] == [
        (0, 5000, 6000, 3, 1, 1),
        (1, 6000, 7000, 1, 0, 0),
    ]
    assert all(decision.latency_ms is not None and decision.latency_ms >= 0 for decision in found)
    assert (session.totals.events, session.totals.late, session.totals.dropped) == (4, 1, 1)


async def test_after_a_stop_no_step_runs(model: Loaded, batcher: StepBatcher) -> None:
    session = open_session(model, batcher)
    waiting = asyncio.create_task(play(session, bar(1), []))
    await asyncio.sleep(0)
    batcher.stop()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        await play(open_session(model, batcher), bar(1), [])
