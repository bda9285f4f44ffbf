from pathlib import Path

import numpy as np
import pytest
import torch

from contract.card import EventEncoder
from tests.tiny import SENSOR, moving_bars
from training.data import DataError, Recordings, load_dataset
from training.data.batches import make_batch
from training.snn.encode import EventInput

REAL_DATA = Path(__file__).parents[4] / "shared" / "data" / "nmnist"


def rows(*times: int, x: int = 3) -> np.ndarray:
    return np.array([[t, x, x + 1, t % 2] for t in times], dtype=np.int64).reshape(-1, 4)


def test_recordings_come_back_as_they_were_whatever_their_size() -> None:
    given = [rows(0, 5), rows(), rows(1, 2**40, x=300), rows(70_000, x=70_000)]
    held = Recordings.join(iter(given), [1, 0, 2, 1])
    assert [held[index].tolist() for index in range(4)] == [each.tolist() for each in given]
    assert held.unpack().tolist() == np.concatenate(given).tolist()
    assert held.offsets.tolist() == [0, 2, 2, 4, 5]
    again = Recordings.of(held.unpack(), held.offsets, held.labels)
    assert torch.equal(again.unpack(), held.unpack())


def test_columns_are_as_narrow_as_their_values_and_shared_by_subsets() -> None:
    held = Recordings.join([rows(0, 300_000)], [0])
    assert [column.itemsize for column in held.columns] == [4, 1, 1, 1]
    assert held.subset(torch.tensor([0, 0])).columns is held.columns
    assert [column.itemsize for column in Recordings.join([rows(-1, x=256)], [0]).columns] == [8, 2, 2, 1]


def test_each_recording_has_a_label() -> None:
    with pytest.raises(DataError, match=r"labels must be int64 \[1\]"):
        Recordings.join([rows(1)], [0, 1])


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real data set is not here")
def test_the_whole_of_nmnist_fits_into_four_gibibytes() -> None:
    data = load_dataset("nmnist", REAL_DATA)
    held = 0
    for part in (data.train, data.test):
        assert isinstance(part, Recordings)
        held += sum(column.nbytes for column in part.columns)
    assert held / 900 * 70_000 < 2.1e9


def test_windows_are_equal_parts_of_each_recording_s_time() -> None:
    times = [[10, 19, 20, 29, 40], [7], [0, 1, 2], []]  # spans 30, 0 and 2
    events = [np.array([[t, index, 0, 1] for t in each], np.int64).reshape(-1, 4) for index, each in enumerate(times)]
    windows = Recordings.join(events, [0, 1, 0, 1]).windows(3)
    found = [[window[index][:, 0].tolist() for window in windows] for index in range(4)]
    assert found == [[[10, 19], [20, 29], [40]], [[7], [], []], [[0], [1], [2]], [[], [], []]]
    assert all(window.labels.tolist() == [0, 1, 0, 1] for window in windows)
    assert [len(window.unpack()) for window in windows] == [4, 3, 2]


def test_windows_are_the_parts_into_which_the_encoder_cuts_a_span() -> None:
    recordings = moving_bars(20, seed=3)
    spec, encoder = SENSOR, EventEncoder(binning="span", timesteps=7, bin_value="count")
    encode = EventInput(spec, encoder).events
    whole, _ = make_batch(recordings, torch.arange(20))
    bins = encode(whole, 20)
    for step, window in enumerate(recordings.windows(7)):
        part, _ = make_batch(window, torch.arange(20))
        counted = EventInput(spec, EventEncoder(binning="span", timesteps=1, bin_value="count")).events(part, 20)
        assert torch.equal(counted[0], bins[step])
