"""Recordings of real cameras, where their folder lies beside the repository."""

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events import check_events, read_events
from contract.events.prophesee import body

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
SAMPLES = DATA / "event-samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recordings of real cameras are not here")


def sample(name: str) -> NDArray[np.int64]:
    return read_events((SAMPLES / name).read_bytes(), filename=name, max_events=10**6)


@pytest.mark.parametrize(
    ("name", "count", "x", "y", "times"),
    [
        ("sample.aedat4", 111_954, 319, 239, (1605537493718345, 1605537494308262)),
        ("sample_ncars.dat", 2_009, 77, 41, (0, 99_952)),
        ("sample_nmnist.bin", 4_325, 33, 33, (654, 311_175)),
        ("evt2_sample.raw", 539_481, 599, 475, (1_317_888, 1_367_888)),
        ("evt3_sample.npy", 219_596, 1279, 719, (11_718_656, 11_772_513)),
        ("trcl0.es", 2_628, 29, 31, (0, 14_727)),
    ],
)
def test_a_sample_has_its_known_count_and_ranges(name: str, count: int, x: int, y: int, times: tuple[int, int]) -> None:
    events = sample(name)
    assert len(events) == count
    assert events[:, 1:].max(axis=0).tolist() == [x, y, 1]
    assert (events[0, 0], events[-1, 0]) == times


def test_evt3_has_the_pixels_of_its_decoded_answer_in_the_same_order() -> None:
    np.testing.assert_array_equal(sample("evt3_sample.raw")[:, 1:], sample("evt3_sample.npy")[:, 1:])


def test_evt3_times_are_those_of_the_time_words_and_the_answer_carries_at_each_fall_of_time_low() -> None:
    """The answer adds 2^12 µs whenever TIME_LOW falls, also where TIME_HIGH tells that it did not wrap.

    The file's TIME_HIGH words run from 2861 to 2863, so by the specification its events lie between 2861 << 12 and
    2864 << 12; the answer ends at 2874 << 12, eleven carries later.
    """
    words = np.frombuffer(body((SAMPLES / "evt3_sample.raw").read_bytes())[0], "<u2")
    kind, value = words >> 12, words & 0xFFF
    events = sample("evt3_sample.raw")
    assert set(events[:, 0] >> 12) == set(value[kind == 8]) == {2861, 2862, 2863}
    low = np.flatnonzero(kind == 6)
    falls = low[1:][value[low][1:] < value[low][:-1]]
    pixels = np.select([kind == 2, kind == 4, kind == 5], [np.ones_like(value), value, value & 0xFF], np.uint16(0))
    sizes = np.bitwise_count(pixels)
    word_of_event = np.repeat(np.arange(len(words)), sizes)
    carries = np.searchsorted(falls, word_of_event)
    assert carries.max() == 11
    np.testing.assert_array_equal(events[:, 0] + carries * 4096, sample("evt3_sample.npy")[:, 0])


def test_aedat4_is_read_as_an_independent_library_reads_it() -> None:
    aedat = pytest.importorskip("aedat")
    packets = [packet["events"] for packet in aedat.Decoder(SAMPLES / "sample.aedat4") if "events" in packet]
    expected = np.concatenate(packets)
    events = sample("sample.aedat4")
    for column, name in enumerate(("t", "x", "y", "on")):
        np.testing.assert_array_equal(events[:, column], expected[name].astype(np.int64))


def test_the_header_of_aedat2_alone_holds_no_events() -> None:
    data = (SAMPLES / "sample_aedat_header.aedat").read_bytes()
    with pytest.raises(InvalidEvents, match="no events"):
        read_events(data, camera="davis346", max_events=10)
    with pytest.raises(InvalidEvents, match="name the camera"):
        read_events(data, max_events=10)


def test_a_format_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidEvents, match="no header that identifies its format"):
        sample("sample_stmnist.mat")


@pytest.mark.skipif(not (DATA / "nmnist" / "events").is_dir(), reason="the N-MNIST recordings are not here")
def test_all_nmnist_recordings_lie_inside_their_sensor() -> None:
    counts = []
    last = 0
    for path in sorted((DATA / "nmnist" / "events").iterdir()):
        events = check_events(read_events(path.read_bytes(), filename=path.name, max_events=10_000), 34, 34, 2)
        counts.append(len(events))
        last = max(last, int(events[-1, 0]))
    assert (len(counts), min(counts), max(counts), last) == (900, 1_069, 7_152, 336_040)


@pytest.mark.parametrize("name", ["evt2_sample.raw", "evt3_sample.raw", "sample.aedat4"])
def test_reading_is_vectorised(name: str) -> None:
    data = (SAMPLES / name).read_bytes()
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        read_events(data, max_events=10**6)
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.5, "a loop over events takes far longer, even on a busy machine it should not"
