"""The event data sets in the layouts in which they are published, in small files written byte by byte."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contract.card import EventEncoder
from tests.contract.events.recordings import AEDAT3_HEADER, Event, aedat3_packet
from training.data import Bins, DataError, Dataset, EventOptions, Recordings, load_dataset
from training.data.cifar10 import LABELS
from training.data.event_options import centred
from training.learning.time_bins import binning_of


def aedat2(*events: Event) -> bytes:
    """A DVS128 recording as jAER writes it."""
    records = b"".join(struct.pack(">II", y << 8 | x << 1 | p, t) for t, x, y, p in events)
    return b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n" + records


def atis(*events: Event) -> bytes:
    return b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF]) for t, x, y, p in events)


def cifar10_dvs(root: Path) -> Path:
    for label, name in enumerate(LABELS):
        (root / name).mkdir(parents=True)
        for number in (0, 2, 10, 899, 900, 999):
            data = aedat2((number, 127, label, 1), (number + 7, 5, 126, 0))
            (root / name / f"cifar10_{name}_{number}.aedat").write_bytes(data)
    return root


def dvs128_gesture(root: Path) -> Path:
    root.mkdir(parents=True)
    events = [(1000 * index, index, 127 - index, index % 2) for index in range(10)]
    for name in ("user01_led", "user02_lab"):
        data = (
            AEDAT3_HEADER
            + aedat3_packet(events[:6])
            + aedat3_packet([(0, 0, 0, 1)], kind=0)
            + aedat3_packet(events[6:])
        )
        (root / f"{name}.aedat").write_bytes(data)
        (root / f"{name}_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,0,3000\n11,4000,9001\n")
    (root / "trials_to_train.txt").write_text("user02_lab.aedat\n")
    (root / "trials_to_test.txt").write_text("user01_led.aedat\n\n")
    return root


def n_caltech101(root: Path) -> Path:
    for label in range(101):
        folder = root / f"class_{label:03}"
        folder.mkdir(parents=True)
        for number in range(1, 3 if label else 12):
            (folder / f"image_{number:04}.bin").write_bytes(atis((number, 10, 20, 1), (number + 9, 10 + label, 39, 0)))
    return root


def recordings(dataset: Dataset) -> tuple[Recordings, Recordings]:
    assert isinstance(dataset.train, Recordings)
    assert isinstance(dataset.test, Recordings)
    return dataset.train, dataset.test


@pytest.mark.parametrize("folder", ["CIFAR10-DVS", "."])
def test_cifar10_dvs_is_cut_by_the_number_of_the_recording(tmp_path: Path, folder: str) -> None:
    cifar10_dvs(tmp_path / folder)
    train, test = recordings(data := load_dataset("cifar10-dvs", tmp_path))
    assert data.labels == LABELS
    assert data.input.shape == (2, 128, 128)
    assert train.labels.tolist() == [label for label in range(10) for _ in range(4)]
    assert test.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert [int(train[index][0, 0]) for index in range(4)] == [0, 2, 10, 899]
    assert test[5].tolist() == [[999, 127, 2, 1], [1006, 5, 126, 0]]


def test_a_gesture_is_the_events_of_its_interval(tmp_path: Path) -> None:
    dvs128_gesture(tmp_path / "DvsGesture")
    train, test = recordings(data := load_dataset("dvs128-gesture", tmp_path))
    assert data.input.shape == (2, 128, 128)
    assert (len(data.labels), data.labels[0], data.labels[10]) == (11, "hand clapping", "other gestures")
    for part in (train, test):
        assert part.labels.tolist() == [0, 10]
        assert part[0].tolist() == [[0, 0, 127, 0], [1000, 1, 126, 1], [2000, 2, 125, 0]]
        assert part[1][:, 0].tolist() == [4000, 5000, 6000, 7000, 8000, 9000]


def test_every_fifth_recording_of_a_class_of_n_caltech101_is_a_test(tmp_path: Path) -> None:
    n_caltech101(tmp_path / "Caltech101")
    train, test = recordings(data := load_dataset("n-caltech101", tmp_path))
    assert data.input.shape == (2, 180, 240)
    assert data.labels == tuple(f"class_{label:03}" for label in range(101))
    assert test.labels.tolist() == [0, 0]
    assert [int(test[index][0, 0]) for index in range(2)] == [5, 10]
    assert train.labels.tolist() == [0] * 9 + [label for label in range(1, 101) for _ in range(2)]
    # a box of 101 x 20 pixels in the middle of 240 x 180
    assert train[len(train) - 1][:, 1:3].tolist() == [[69, 80], [169, 99]]


def test_recordings_are_centred_and_what_does_not_fit_is_cut_off() -> None:
    events = np.array([[0, 3, 0, 0], [1, 3, 6, 1], [2, 5, 3, 1]])
    assert centred(events, 9, 7).tolist() == [[0, 3, 0, 0], [1, 3, 6, 1], [2, 5, 3, 1]]
    assert centred(events, 5, 3).tolist() == [[2, 3, 1, 1]]


@pytest.mark.parametrize("edge", [4, 3])
def test_divided_coordinates_merge_pixels(tmp_path: Path, edge: int) -> None:
    cifar10_dvs(tmp_path)
    whole, _ = recordings(load_dataset("cifar10-dvs", tmp_path))
    train, _ = recordings(data := load_dataset("cifar10-dvs", tmp_path, events=EventOptions(downsample=edge)))
    assert data.input.shape == (2, -(-128 // edge), -(-128 // edge))
    assert np.array_equal(train[39][:, 1:3], whole[39][:, 1:3] // edge)
    assert np.array_equal(train[39][:, [0, 3]], whole[39][:, [0, 3]])


@pytest.mark.parametrize(
    ("name", "write"),
    [("cifar10-dvs", cifar10_dvs), ("dvs128-gesture", dvs128_gesture), ("n-caltech101", n_caltech101)],
)
def test_recordings_can_be_held_as_bins(tmp_path: Path, name: str, write: Callable[[Path], Path]) -> None:
    write(tmp_path / "set")
    encoder = EventEncoder(binning="span", bin_value="binary", timesteps=3)
    options = EventOptions(4, lambda spec: binning_of(encoder, spec))
    data = load_dataset(name, tmp_path / "set", events=options)
    whole, _ = recordings(load_dataset(name, tmp_path / "set", events=EventOptions(4)))
    assert isinstance(data.train, Bins)
    assert data.train.labels.tolist() == whole.labels.tolist()
    last = np.zeros(data.train.shape, np.uint8)
    t, x, y, p = whole[len(whole) - 1].T
    last[np.minimum((t - t[0]) * 3 // (t[-1] - t[0]), 2), p, y, x] = 1
    assert np.array_equal(data.train.unpack()[-1].numpy(), last)


@pytest.mark.parametrize(
    ("name", "write", "change", "complaint"),
    [
        ("cifar10-dvs", cifar10_dvs, ("bird/cifar10_bird_10.aedat", aedat2((1, 1, 1, 1))[:-3]), "end inside record 0"),
        ("cifar10-dvs", cifar10_dvs, ("bird/cifar10_bird_10.aedat", b"\0" * 16), "start with the header of aedat"),
        (
            "cifar10-dvs",
            cifar10_dvs,
            ("cat/cat.aedat", b""),
            r"cat/cat\.aedat: the name of a recording ends in its number",
        ),
        ("cifar10-dvs", cifar10_dvs, ("cat/x_010.aedat", b""), r"x_010\.aedat: recording 10 is also in cifar10_cat_10"),
        ("cifar10-dvs", cifar10_dvs, ("truck", None), r"truck: looked for the recordings of the class"),
        ("dvs128-gesture", dvs128_gesture, ("trials_to_test.txt", None), r"trials_to_test\.txt: cannot be read"),
        ("dvs128-gesture", dvs128_gesture, ("user02_lab.aedat", None), r"user02_lab\.aedat: .*No such file"),
        ("dvs128-gesture", dvs128_gesture, ("user02_lab.aedat", AEDAT3_HEADER + b"\0" * 9), "ends inside the packet"),
        ("dvs128-gesture", dvs128_gesture, ("user02_lab_labels.csv", None), r"user02_lab_labels\.csv: cannot be read"),
        ("dvs128-gesture", dvs128_gesture, ("user02_lab_labels.csv", b"class,start\n"), "the columns are class,start"),
        (
            "dvs128-gesture",
            dvs128_gesture,
            ("user02_lab_labels.csv", b"class,startTime_usec,endTime_usec\n1,2\n"),
            "cannot be read as lines of class,startTime_usec,endTime_usec",
        ),
        (
            "dvs128-gesture",
            dvs128_gesture,
            ("user02_lab_labels.csv", b"class,startTime_usec,endTime_usec\n12,0,9\n"),
            "line 2: class 12; classes are 1 to 11",
        ),
        (
            "dvs128-gesture",
            dvs128_gesture,
            ("user02_lab_labels.csv", b"class,startTime_usec,endTime_usec\n3,2001,3000\n"),
            r"user02_lab\.aedat: there are no events from 2001 to 3000",
        ),
        ("n-caltech101", n_caltech101, ("class_007/image_0002.bin", b"1234567"), "7 bytes end inside event 1"),
        ("n-caltech101", n_caltech101, ("class_007", None), "there are 100 class folders; N-Caltech101 has 101"),
    ],
)
def test_missing_truncated_and_wrong_files_are_named(
    tmp_path: Path, name: str, write: Callable[[Path], Path], change: tuple[str, bytes | None], complaint: str
) -> None:
    root, (where, content) = write(tmp_path / "set"), change
    path = root / where
    if content is not None:
        path.write_bytes(content)
    elif path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    else:
        path.unlink()
    with pytest.raises(DataError, match=complaint):
        load_dataset(name, root)


@pytest.mark.parametrize("name", ["cifar10-dvs", "dvs128-gesture", "n-caltech101"])
@pytest.mark.parametrize("given", [True, False])
def test_absent_data_is_told_with_where_to_get_it(tmp_path: Path, name: str, given: bool) -> None:
    with pytest.raises(DataError, match=r"looked for .* the data set is at https://") as caught:
        load_dataset(name, tmp_path if given else None)
    assert (str(tmp_path) in str(caught.value)) == given
