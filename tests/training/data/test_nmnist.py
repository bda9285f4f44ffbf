import time
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data import DataError, Recordings, load_dataset
from training.data.nmnist import decode

REAL_DATA = Path(__file__).parents[4] / "shared" / "data" / "nmnist"


def event(t: int, x: int, y: int, p: int) -> bytes:
    """Write one event by hand, bit for bit."""
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF])


OVERFLOW = event(0, 0, 240, 0)


def test_the_five_bytes_of_an_event_are_x_y_polarity_and_time() -> None:
    data = bytes([5, 33, 0b0000_0001, 0x02, 0x03]) + bytes([33, 0, 0b1111_1111, 0xFF, 0xFF])

    assert decode(data).tolist() == [[0x010203, 5, 33, 0], [2**23 - 1, 33, 0, 1]]


def test_each_overflow_marker_moves_the_later_times_and_is_no_event() -> None:
    data = event(100, 1, 2, 0) + OVERFLOW + event(3, 4, 5, 1) + OVERFLOW + OVERFLOW + event(7, 8, 9, 1)

    assert decode(data).tolist() == [[100, 1, 2, 0], [2**13 + 3, 4, 5, 1], [3 * 2**13 + 7, 8, 9, 1]]


def test_decoding_agrees_with_a_reading_event_by_event() -> None:
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 2**23, 1000))
    written = np.column_stack(
        [times, random.integers(0, 34, 1000), random.integers(0, 34, 1000), random.integers(0, 2, 1000)]
    )

    assert np.array_equal(decode(b"".join(event(*row) for row in written.tolist())), written)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (event(1, 1, 1, 1)[:4], "4 bytes are not a whole number of 5-byte events"),
        (b"", "no event"),
        (OVERFLOW, "no event"),
        (event(1, 34, 0, 0), "outside the 34 x 34 sensor"),
        (event(1, 0, 34, 0), "outside the 34 x 34 sensor"),
        (event(2, 0, 0, 0) + event(1, 0, 0, 0), "times fall"),
    ],
)
def test_bytes_that_are_no_recording_are_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        decode(data)


def lists_and_events(root: Path) -> Path:
    (root / "events").mkdir(parents=True)
    (root / "events" / "1.bs2").write_bytes(event(1, 1, 0, 0) + event(2, 1, 1, 1))
    (root / "events" / "00020.bin").write_bytes(event(3, 20, 0, 0))
    (root / "events" / "60001.bs2").write_bytes(event(4, 30, 0, 1))
    (root / "events" / "notes.txt").write_text("not a recording")
    (root / "train.txt").write_text("#sample\t#class\n20\t7\n1\t3\n")
    (root / "test.txt").write_text("60001\t9\n\n")
    return root


@pytest.mark.parametrize("folder", ["nmnist", "."])
def test_lists_name_the_recordings_by_their_numbers(tmp_path: Path, folder: str) -> None:
    lists_and_events(tmp_path / folder)

    data = load_dataset("nmnist", tmp_path)

    assert isinstance(data.train, Recordings)
    assert isinstance(data.test, Recordings)
    assert data.input.kind == "events"
    assert data.input.shape == (2, 34, 34)
    assert data.train.labels.tolist() == [7, 3]
    assert data.train.offsets.tolist() == [0, 1, 3]
    assert data.train.events.tolist() == [[3, 20, 0, 0], [1, 1, 0, 0], [2, 1, 1, 1]]
    assert data.test.labels.tolist() == [9]
    assert data.attribution is not None
    assert "CC BY-SA 4.0" in data.attribution


def test_overflow_markers_leave_no_gap_between_recordings(tmp_path: Path) -> None:
    lists_and_events(tmp_path)
    (tmp_path / "events" / "00020.bin").write_bytes(event(3, 20, 0, 0) + OVERFLOW + event(4, 21, 0, 0))

    data = load_dataset("nmnist", tmp_path)

    assert isinstance(data.train, Recordings)
    assert data.train.offsets.tolist() == [0, 2, 4]
    assert data.train.events[:, 0].tolist() == [3, 2**13 + 4, 1, 2]


def test_the_published_layout_has_a_folder_a_class(tmp_path: Path) -> None:
    for part, label, number in [("Train", 4, 2), ("Train", 0, 10), ("Train", 4, 1), ("Test", 9, 3)]:
        folder = tmp_path / "N-MNIST" / part / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05}.bin").write_bytes(event(number, number, label, 0))

    data = load_dataset("nmnist", tmp_path)

    assert isinstance(data.train, Recordings)
    assert data.train.labels.tolist() == [0, 4, 4]
    assert data.train.events[:, 1].tolist() == [10, 1, 2]
    assert data.test.labels.tolist() == [9]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("21\t7\n", r"train.txt, line 1: no recording 21\.bs2"),
        ("#\n20\n", "train.txt, line 2: expected a sample and a class, found '20'"),
        ("20 seven\n", "line 1: expected a sample and a class"),
        ("20\t10\n", "the train part has class ids 10 to 10"),
        ("#\n", "the train part holds no sample"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    lists_and_events(tmp_path)
    (tmp_path / "train.txt").write_text(line)

    with pytest.raises(DataError, match=complaint):
        load_dataset("nmnist", tmp_path)


def test_a_broken_recording_is_refused_by_name(tmp_path: Path) -> None:
    lists_and_events(tmp_path)
    (tmp_path / "events" / "1.bs2").write_bytes(b"\0" * 7)

    with pytest.raises(DataError, match=r"events/1\.bs2: 7 bytes"):
        load_dataset("nmnist", tmp_path)


def test_a_sample_in_two_files_is_refused(tmp_path: Path) -> None:
    lists_and_events(tmp_path)
    (tmp_path / "events" / "1.bin").write_bytes(event(1, 1, 1, 1))

    with pytest.raises(DataError, match=r"sample 1 is also in 1\.bin"):
        load_dataset("nmnist", tmp_path)


@pytest.mark.parametrize("given", [True, False])
def test_absent_data_is_told_with_where_to_get_it(tmp_path: Path, given: bool) -> None:
    with pytest.raises(DataError, match=r"looked for train\.txt and test\.txt.*garrickorchard") as caught:
        load_dataset("nmnist", tmp_path if given else None)

    assert (str(tmp_path / "nmnist") in str(caught.value)) == given


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real data set is not here")
def test_real_recordings_are_read_fast() -> None:
    started = time.process_time()
    data = load_dataset("nmnist", REAL_DATA)
    elapsed = time.process_time() - started

    assert isinstance(data.train, Recordings)
    assert isinstance(data.test, Recordings)
    assert (len(data.train), len(data.test)) == (750, 150)
    assert elapsed < 2
    assert (REAL_DATA / "events" / "1.bs2").stat().st_size == 5 * int(data.train.offsets[1])
    lengths = torch.cat([data.train.offsets.diff(), data.test.offsets.diff()])
    assert (int(lengths.min()), int(lengths.max())) == (1069, 7152)
    events = torch.cat([data.train.events, data.test.events])
    assert events.max(dim=0).values.tolist() == [336_040, 33, 33, 1]
    assert events.min(dim=0).values.tolist() == [0, 0, 0, 0]
