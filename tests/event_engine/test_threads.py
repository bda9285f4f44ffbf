"""A batch is split over threads by samples, and no number depends on how many there are."""

import time

import numpy as np
import pytest

from contract.card import EventEncoder, ImageEncoder
from event_engine.library import built_libraries
from event_engine.network import EventNetwork
from tests.event_engine.differential import make_case

pytestmark = pytest.mark.skipif(not built_libraries(), reason="the event engine was not built: no C++ compiler")

SAMPLES = 41
LARGE = "32C5-32C5-VOTE3"  # enough work for several threads
SHAPE = (2, 8, 8)


def share_elsewhere(began: tuple[float, float]) -> float:
    """The share of the processor time since `clocks` that other threads have taken."""
    return 1 - (time.thread_time() - began[1]) / (time.process_time() - began[0])


def clocks() -> tuple[float, float]:
    return time.process_time(), time.thread_time()


def test_any_number_of_threads_gives_the_same_numbers() -> None:
    case = make_case(LARGE, ImageEncoder(coding="poisson", timesteps=4), shape=SHAPE)
    network = EventNetwork(case.card, case.weights)
    rng = np.random.default_rng(0)
    pixels, seeds = rng.integers(0, 256, (SAMPLES, *SHAPE), np.uint8), rng.integers(0, 2**63 - 1, SAMPLES)
    began = clocks()
    alone = network.run_images(pixels, seeds, raster=True, threads=1)
    assert share_elsewhere(began) < 0.1
    assert alone.spikes.sum() > 0
    for threads in (2, 3, 200):
        began = clocks()
        found = network.run_images(pixels, seeds, raster=True, threads=threads)
        assert share_elsewhere(began) > 0.25
        assert all(np.array_equal(getattr(found, name), getattr(alone, name)) for name in alone._fields)


def test_a_small_batch_stays_on_the_calling_thread() -> None:
    case = make_case("3C3-VOTE1", ImageEncoder(coding="poisson", timesteps=4), shape=SHAPE)
    network = EventNetwork(case.card, case.weights)
    began = clocks()
    for _ in range(50):
        network.run_images(np.full((2, *SHAPE), 99, np.uint8), np.zeros(2, np.int64), threads=8)
    assert share_elsewhere(began) < 0.1


def test_a_failure_in_another_thread_reaches_the_caller() -> None:
    case = make_case(LARGE, EventEncoder(binning="span", timesteps=4), shape=SHAPE)
    network = EventNetwork(case.card, case.weights)
    recordings = [np.zeros((3, 4), np.int64) for _ in range(SAMPLES)]
    recordings[-1] = np.array([[0, 8, 0, 0]], np.int64)
    with pytest.raises(ValueError, match="outside of the sensor"):
        network.run_events(recordings, threads=2)
