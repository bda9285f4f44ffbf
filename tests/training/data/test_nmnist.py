import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events import check_events, read_events
from training.data import DataError, Recordings, load_dataset
from training.data.nmnist import read_recordings

REAL_DATA = Path(__file__).parents[4] / "shared" / "data" / "nmnist"


def event(t: int, x: int, y: int, p: int) -> bytes:
    """Write one event by hand, bit for bit."""
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF])


OVERFLOW = event(0, 0, 240, 0)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (event(1, 1, 1, 1)[:4], "5 bytes per event; 4 bytes end inside event 0"),
        (b"", "no events"),
        (OVERFLOW, "no events"),
        (event(1, 34, 0, 0), "outside the model's sensor: x must be 0 to 33 and y 0 to 33"),
        (event(1, 0, 34, 0), "outside the model's sensor: x must be 0 to 33 and y 0 to 33"),
        (event(2, 0, 0, 0) + event(1, 0, 0, 0), "times must be in ascending order"),
    ],
)
def test_bytes_that_are_no_recording_are_refused(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = tmp_path / "1.bs2"
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"1\.bs2: .*{complaint}"):
        read_recordings([path], [0])


@st.composite
def recordings(draw: st.DrawFn) -> bytes:
    """Up to 30 events, in and outside the sensor, times in order or not, overflows among them, and cut or not."""
    place = st.integers(0, 33) | st.sampled_from([0, 33, 34, 240, 255])
    rows = draw(st.lists(st.tuples(st.integers(0, 2**23 - 1), place, place, st.integers(0, 1)), max_size=30))
    if draw(st.booleans()):
        rows.sort()
    data = b"".join(event(*row) for row in rows)
    return data[: draw(st.integers(0, 4)) - 4 or None] if data and draw(st.booleans()) else data


def as_served(path: Path) -> NDArray[np.int64] | None:
    """The events of a recording as the service gives them to a model, None if it refuses them."""
    try:
        return check_events(read_events(path.read_bytes(), filename=path.name, max_events=10**6), 34, 34, 2)
    except InvalidEvents:
        return None


@given(data=recordings())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_training_and_service_read_the_same_events(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "recording.bs2"
    path.write_bytes(data)
    served = as_served(path)
    if served is None:
        with pytest.raises(DataError):
            read_recordings([path], [0])
    else:
        found = read_recordings([path], [0])
        assert isinstance(found, Recordings)
        np.testing.assert_array_equal(found.unpack(), served)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real data set is not here")
def test_training_and_service_read_the_same_real_recordings() -> None:
    paths = sorted((REAL_DATA / "events").iterdir())
    assert len(paths) == 900
    found = read_recordings(paths, [0] * len(paths))
    assert isinstance(found, Recordings)
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(found[index], as_served(path))


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
    assert data.train.unpack().tolist() == [[3, 20, 0, 0], [1, 1, 0, 0], [2, 1, 1, 1]]
    assert data.test.labels.tolist() == [9]
    assert data.attribution is not None
    assert "CC BY-SA 4.0" in data.attribution


def test_overflow_markers_leave_no_gap_between_recordings(tmp_path: Path) -> None:
    lists_and_events(tmp_path)
    (tmp_path / "events" / "00020.bin").write_bytes(event(3, 20, 0, 0) + OVERFLOW + event(4, 21, 0, 0))

    data = load_dataset("nmnist", tmp_path)

    assert isinstance(data.train, Recordings)
    assert data.train.offsets.tolist() == [0, 2, 4]
    assert data.train.unpack()[:, 0].tolist() == [3, 2**13 + 4, 1, 2]


def test_the_published_layout_has_a_folder_a_class(tmp_path: Path) -> None:
    for part, label, number in [("Train", 4, 2), ("Train", 0, 10), ("Train", 4, 1), ("Test", 9, 3)]:
        folder = tmp_path / "N-MNIST" / part / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05}.bin").write_bytes(event(number, number, label, 0))

    data = load_dataset("nmnist", tmp_path)

    assert isinstance(data.train, Recordings)
    assert data.train.labels.tolist() == [0, 4, 4]
    assert data.train.unpack()[:, 1].tolist() == [10, 1, 2]
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

    with pytest.raises(DataError, match=r"events/1\.bs2: .* 7 bytes end inside event 1"):
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
    events = torch.cat([data.train.unpack(), data.test.unpack()])
    assert events.max(dim=0).values.tolist() == [336_040, 33, 33, 1]
    assert events.min(dim=0).values.tolist() == [0, 0, 0, 0]
