import numpy as np
import pytest
import torch

from contract.card import EventEncoder, InputSpec
from training.data import Bins, DataError
from training.data.batches import make_batch
from training.data.bins import Binning, network_input
from training.learning.time_bins import binning_of
from training.snn.encode import EventInput

SPEC = InputSpec(kind="events", channels=2, height=5, width=7)


def recording(events: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    columns = [np.sort(rng.integers(50, 1000, events)), *(rng.integers(0, size, events) for size in (7, 5, 2))]
    return np.stack(columns, 1)


def encoder(bin_value: str = "binary", binning: str = "step") -> EventEncoder:
    step_us = 100 if binning == "step" else None
    return EventEncoder.model_validate({"timesteps": 6, "step_us": step_us, "bin_value": bin_value, "binning": binning})


def bins(bin_value: str = "binary") -> Bins:
    return Bins.pack((recording(80, seed) for seed in range(9)), [0, 1, 2] * 3, binning_of(encoder(bin_value), SPEC))


@pytest.mark.parametrize("bin_value", ["binary", "count"])
@pytest.mark.parametrize("binning", ["step", "span"])
def test_bins_are_the_input_that_the_encoder_makes_of_the_events(bin_value: str, binning: str) -> None:
    recordings = [recording(200, 1), recording(1, 2), recording(60, 3)]
    described = encoder(bin_value, binning)
    held = Bins.pack(recordings, [0, 1, 0], binning_of(described, SPEC))
    samples = np.concatenate([np.insert(each, 0, index, axis=1) for index, each in enumerate(recordings)])
    expected = EventInput(SPEC, described).events(torch.from_numpy(samples), 3)
    assert expected.max() > (1 if bin_value == "count" else 0)
    assert torch.equal(network_input(held.unpack()), expected)
    inputs, labels = make_batch(held, torch.tensor([2, 1]))
    assert torch.equal(network_input(inputs), expected[:, [2, 1]])
    assert labels.tolist() == [0, 1]


def test_a_binary_bin_takes_a_bit_for_each_pixel() -> None:
    assert bins().packed.shape == (9, -(-6 * 2 * 5 * 7 // 8))
    assert bins("count").packed.shape == (9, 6 * 2 * 5 * 7)


@pytest.mark.parametrize("bin_value", ["binary", "count"])
def test_shuffled_bins_are_the_same_bins_in_an_order_of_each_recording(bin_value: str) -> None:
    held = bins(bin_value)
    shuffled = held.shuffled((3, 0))
    orders = []
    for before, after in zip(held.unpack(), shuffled.unpack(), strict=True):
        order = [int((before == each).flatten(1).all(1).nonzero()[0, 0]) for each in after]
        assert sorted(order) == list(range(6))
        orders.append(tuple(order))
    assert len(set(orders)) > 5
    assert torch.equal(shuffled.labels, held.labels)
    assert np.array_equal(shuffled.packed, held.shuffled((3, 0)).packed)
    assert not np.array_equal(shuffled.packed, held.shuffled((4, 0)).packed)
    assert not np.array_equal(shuffled.packed, held.shuffled((3, 1)).packed)


def test_bins_of_another_size_are_refused() -> None:
    held = bins()
    with pytest.raises(DataError, match=r"must be uint8 \[N, 53\]"):
        Bins(held.packed[:, :-1], held.shape, True, held.labels)
    with pytest.raises(DataError, match=r"labels must be int64 \[9\]"):
        Bins(held.packed, held.shape, True, held.labels[:-1])


def test_no_recording_makes_no_bins() -> None:
    empty = Bins.pack([], [], Binning(lambda events, _: events, (6, 2, 5, 7), binary=True))
    assert empty.unpack().shape == (0, 6, 2, 5, 7)
