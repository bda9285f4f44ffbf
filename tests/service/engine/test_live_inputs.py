"""Live inputs: one time step at a time, from membrane potentials that the caller holds."""

from pathlib import Path

import numpy as np
import pytest

from contract.card import read_card
from contract.errors import ServiceError
from service.engine.device import CPU
from service.engine.interface import Activity, Engine, EventSample, ImageSample, Sample, State
from service.engine.load import Preference
from service.engine.torchserve import TorchServe
from tests.service.engine.engines import ENGINES, load
from tests.tiny import EVENT_STEP_US, EVENT_STEPS, moving_bar

MODELS = ["tiny-image", "tiny-direct", "tiny-events"]


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> Preference:
    """Each engine that keeps states."""
    engine: Preference = request.param
    return engine


def whole(name: str, seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    if name == "tiny-events":
        return EventSample(moving_bar(rng, right=bool(seed % 2)))
    return ImageSample(rng.integers(0, 256, (1, 8, 8), dtype=np.uint8), seed)


def in_steps(sample: Sample, timesteps: int) -> list[Sample]:
    """The inputs of each time step: the frame itself, or the events of that step."""
    if isinstance(sample, ImageSample):
        return [sample] * timesteps
    step = (sample.events[:, 0] - sample.events[0, 0]) // EVENT_STEP_US
    return [EventSample(sample.events[step == index]) for index in range(timesteps)]


def advance(engine: Engine, steps: list[Sample], state: State) -> tuple[list[Activity], State]:
    activities = []
    for sample in steps:
        [(activity, state)] = engine.step([sample], [state])
        activities.append(activity)
    return activities, state


def magnitude(state: State) -> float:
    return float(sum(np.abs(np.asarray(potential)).sum() for potential in state.potentials))


def assert_equal(found: list[Activity], expected: Activity) -> None:
    """The activities of single steps, put together, are that of the whole."""
    for name in ("scores", "spikes", "synops"):
        np.testing.assert_array_equal(np.concatenate([getattr(each, name) for each in found]), getattr(expected, name))
    assert sum(each.input for each in found) == expected.input


@pytest.mark.parametrize("name", MODELS)
def test_all_time_steps_one_by_one_give_the_bits_of_a_run(tiny_store_root: Path, name: str, kind: Preference) -> None:
    engine = load(tiny_store_root, name, kind)
    for seed in range(6):
        sample = whole(name, seed)
        [expected] = engine.run([sample])
        assert expected.spikes.sum() > 0
        found, state = advance(engine, in_steps(sample, engine.card.timesteps), engine.initial_state())
        assert_equal(found, expected)
        assert state.steps == engine.card.timesteps


@pytest.mark.parametrize("name", MODELS)
def test_live_inputs_share_a_batch_wherever_each_of_them_stands(
    tiny_store_root: Path, name: str, kind: Preference
) -> None:
    engine = load(tiny_store_root, name, kind)
    samples = [whole(name, seed) for seed in range(3)]
    steps = [in_steps(sample, engine.card.timesteps) for sample in samples]
    states = [engine.initial_state() for _ in samples]
    found: list[list[Activity]] = [[], [], []]
    for moment in range(engine.card.timesteps + 2):  # input i begins at moment i
        live = [index for index in range(3) if 0 <= moment - index < engine.card.timesteps]
        after = engine.step([steps[index][moment - index] for index in live], [states[index] for index in live])
        for index, (activity, state) in zip(live, after, strict=True):
            found[index].append(activity)
            states[index] = state
    for activities, expected in zip(found, engine.run(samples), strict=True):
        assert_equal(activities, expected)


def test_a_step_without_events_lets_the_potentials_decay(tiny_store_root: Path, kind: Preference) -> None:
    engine = load(tiny_store_root, "tiny-events", kind)
    sample = whole("tiny-events", 1)
    nothing = EventSample(np.zeros((0, 4), dtype=np.int64))
    _, moved = advance(engine, in_steps(sample, EVENT_STEPS)[:2], engine.initial_state())
    [activity], rested = advance(engine, [nothing], moved)
    assert activity.input == 0
    assert magnitude(moved) > magnitude(rested)


def test_the_times_of_a_steps_events_are_not_read(tiny_store_root: Path, kind: Preference) -> None:
    engine = load(tiny_store_root, "tiny-events", kind)
    events = in_steps(whole("tiny-events", 1), EVENT_STEPS)[1].events  # type: ignore[union-attr]
    far_apart = events.copy()
    far_apart[:, 0] *= 1_000_000
    [[near, _], [far, _]] = engine.step([EventSample(events), EventSample(far_apart)], [engine.initial_state()] * 2)
    assert near.input == far.input == len(np.unique(events[:, 1:], axis=0))
    np.testing.assert_array_equal(near.spikes, far.spikes)


def test_a_state_stays_valid_after_the_step_it_went_into(tiny_store_root: Path, kind: Preference) -> None:
    engine = load(tiny_store_root, "tiny-image", kind)
    steps = in_steps(whole("tiny-image", 3), engine.card.timesteps)
    _, halfway = advance(engine, steps[:2], engine.initial_state())
    first, again = (advance(engine, steps[2:], halfway) for _ in range(2))
    assert halfway.steps == 2
    for one, other in zip(first[0], again[0], strict=True):
        np.testing.assert_array_equal(one.spikes, other.spikes)


def test_a_state_says_what_it_occupies_and_does_not_hold_its_whole_batch(
    tiny_store_root: Path, kind: Preference
) -> None:
    engine = load(tiny_store_root, "tiny-image", kind)
    sample, state = whole("tiny-image", 0), engine.initial_state()
    assert state.memory_bytes == 4 * engine.card.neurons
    after = engine.step([sample] * 5, [state] * 5)
    for _, each in after:
        assert each.memory_bytes == state.memory_bytes
        assert all(getattr(potential, "base", None) is None for potential in each.potentials)  # an array's own memory
        assert all(str(potential.device) == str(engine.device) for potential in each.potentials)


def test_an_engine_says_how_large_its_weights_are(tiny_store_root: Path, kind: Preference) -> None:
    card = read_card(tiny_store_root / "tiny-direct" / "1" / "model.pt")
    first, vote = 64 * 32, 32 * 2 * len(card.labels)  # synapses of FC32-VOTE2 on 8 x 8 pixels
    fewest = 4 * first + (4 if kind == "torchscript" else 2) * vote  # spikes are added as 16-bit whole numbers
    most = 2 * fewest if kind == "torchscript" else 6 * fewest  # which are packed for 128 neurons at a time
    assert fewest <= load(tiny_store_root, "tiny-direct", kind).memory_bytes < most


def test_torchserve_keeps_no_state_and_says_what_does(tiny_store_root: Path) -> None:
    server = TorchServe("http://127.0.0.1:9", token_file=None, timeout_seconds=1)
    engine: Engine = server.load(tiny_store_root / "tiny-image" / "1" / "model.pt", CPU)
    with pytest.raises(ServiceError, match="SNN_BACKEND=local"):
        engine.initial_state()
    with pytest.raises(ServiceError, match="SNN_BACKEND=local"):
        engine.step([whole("tiny-image", 0)], [State(0, ())])
    assert engine.memory_bytes == 0
    server.close()
