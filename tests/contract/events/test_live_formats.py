"""Decoders of live events: chunks cut anywhere give the events of the whole, and never cost more than is known."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.errors import InvalidEvents, InvalidParameter, TooManyEvents
from contract.events import read_events
from contract.events.live import DECODERS, live_decoder
from tests.contract.events.encoders import ENCODERS
from tests.contract.events.recordings import Event

FORMATS = sorted(DECODERS)
RAW_HEADERS = {
    "evt2": b"% evt 2.0\n",
    "evt21": b"% evt 2.1\n",
    "evt21-legacy": b"% evt 2.1\n% endianness legacy\n",
    "evt3": b"% evt 3.0\n",
}
LIMIT = 10_000

cuts = st.lists(st.integers(0, 400), max_size=30)


@st.composite
def recordings(draw: st.DrawFn) -> list[Event]:
    """Up to 60 events in the order of their times; some in rows of one moment, as vectors hold them."""
    steps = st.sampled_from([0, 0, 0, 1, 5, 63, 64, 4095, 4096, 70_000])
    t, events = draw(st.integers(0, 2**31)), []
    for _ in range(draw(st.integers(1, 20))):
        t += draw(steps)
        x, y, p = draw(st.integers(0, 2040)), draw(st.integers(0, 2047)), draw(st.integers(0, 1))
        events += [(t, x + offset, y, p) for offset in sorted(draw(st.sets(st.integers(0, 7), min_size=1, max_size=4)))]
    return events


def feed(format: str, data: bytes, places: list[int]) -> NDArray[np.int64]:
    """The events of `data` in chunks cut at `places`, with the bounds checked at every chunk."""
    decoder = live_decoder(format)
    found, start = [], 0
    for end in [*sorted(place for place in places if place < len(data)), len(data)]:
        bound = decoder.most_events(end - start)
        found.append(decoder.feed(data[start:end], bound))
        assert len(found[-1]) <= bound
        assert len(decoder._rest) < decoder.WORD.itemsize
        start = end
    decoder.end()
    return np.concatenate(found)


@pytest.mark.parametrize("format", FORMATS)
@given(events=recordings(), places=cuts)
@settings(deadline=None, max_examples=40)
def test_any_chunks_give_the_events_that_were_encoded(format: str, events: list[Event], places: list[int]) -> None:
    data = ENCODERS[format](events)
    found = feed(format, data, places)
    lost = events[0][0] >> 24 << 24 if format == "evt3" else 0  # the bits of the clock that the format does not send
    assert found.tolist() == [[t - lost, x, y, p] for t, x, y, p in events]
    if format in RAW_HEADERS:
        np.testing.assert_array_equal(read_events(RAW_HEADERS[format] + data, max_events=LIMIT), found)


EVT3_WORDS = st.tuples(st.sampled_from([0, 2, 3, 4, 5, 6, 7, 8, 8, 10, 14, 15]), st.integers(0, 0xFFF))


@given(words=st.lists(EVT3_WORDS, max_size=60), places=cuts)
@settings(deadline=None, max_examples=150)
def test_the_state_of_evt3_goes_over_every_cut(words: list[tuple[int, int]], places: list[int]) -> None:
    data = struct.pack(f"<{len(words)}H", *(kind << 12 | payload for kind, payload in words))
    np.testing.assert_array_equal(feed("evt3", data, places), feed("evt3", data, []))


@pytest.mark.parametrize("format", ["evt2", "evt21", "evt21-legacy"])
@given(words=st.lists(st.tuples(st.sampled_from([0, 1, 8, 10]), st.integers(0, 2**60 - 1)), max_size=40), places=cuts)
@settings(deadline=None, max_examples=40)
def test_the_time_of_evt2_goes_over_every_cut(format: str, words: list[tuple[int, int]], places: list[int]) -> None:
    if format == "evt2":
        data = struct.pack(f"<{len(words)}I", *(kind << 28 | payload >> 32 for kind, payload in words))
    else:
        halves = [(kind << 28 | payload >> 32, payload & 0xFFFFFFFF) for kind, payload in words]
        data = b"".join(struct.pack("<II", *(each if "legacy" in format else each[::-1])) for each in halves)
    np.testing.assert_array_equal(feed(format, data, places), feed(format, data, []))


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.binary(max_size=300), places=cuts)
@settings(deadline=None, max_examples=40)
def test_any_bytes_in_any_chunks_are_read_or_refused_alike(format: str, data: bytes, places: list[int]) -> None:
    outcomes: list[object] = []
    for chunks in (places, []):
        try:
            outcomes.append(feed(format, data, chunks).tolist())
        except InvalidEvents:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


def test_records_are_those_of_event_libraries() -> None:
    packed = np.array([(2**40, 639, 479, 1)], [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
    assert live_decoder("events13").feed(packed.tobytes(), 1).tolist() == [[2**40, 639, 479, 1]]
    assert live_decoder("events8").feed(bytes.fromhex("04030201 7f02 bf03"), 1).tolist() == [[0x01020304, 639, 479, 1]]


def test_the_clock_of_events8_goes_on_where_it_wraps_and_goes_back_for_a_late_event() -> None:
    times = [2**32 - 2, 1, 2**32 - 1, 2]
    data = b"".join(struct.pack("<IHH", t, 0, 0) for t in times)
    expected = [2**32 - 2, 2**32 + 1, 2**32 - 1, 2**32 + 2]
    assert feed("events8", data, []).tolist() == feed("events8", data, [8, 16, 24]).tolist()
    assert feed("events8", data, [])[:, 0].tolist() == expected


@pytest.mark.parametrize(("format", "bits"), [("events8", 32), ("evt2", 34), ("evt21", 34), ("evt3", 24)])
def test_a_clock_that_wraps_again_and_again_goes_on_over_every_cut(format: str, bits: int) -> None:
    third = 2**bits // 3
    events = [(1000 + third * turn, 1, 2, 1) for turn in range(12)]
    data = ENCODERS[format](events)
    assert feed(format, data, list(range(len(data)))).tolist() == [list(event) for event in events]


def test_the_low_time_of_evt3_ends_with_its_high_time_over_every_cut() -> None:
    data = struct.pack("<6H", 0x8001, 0x6FFF, 0x0000, 0x8002, 0x2001, 0x2002)
    assert feed("evt3", data, list(range(len(data))))[:, 0].tolist() == [0x2000, 0x2000]


def test_live_events_may_come_out_of_order_and_not_at_all() -> None:
    assert feed("events13", ENCODERS["events13"]([(9, 0, 0, 1), (3, 1, 0, 0)]), [])[:, 0].tolist() == [9, 3]
    for format in FORMATS:
        assert live_decoder(format).feed(b"", 0).shape == (0, 4)


@pytest.mark.parametrize("format", FORMATS)
def test_no_more_events_than_allowed_are_unpacked(format: str) -> None:
    data = ENCODERS[format]([(5, x, 2, 1) for x in range(8)])
    assert len(live_decoder(format).feed(data, 8)) == 8
    with pytest.raises(TooManyEvents, match="the stream exceeds the limit of 7 events"):
        live_decoder(format).feed(data, 7)


def test_a_word_that_does_not_exist_is_named_by_its_place_in_the_stream() -> None:
    decoder = live_decoder("evt2")
    decoder.feed(struct.pack("<I", 8 << 28) + b"\0\0", 1)
    with pytest.raises(InvalidEvents, match=r"the word at byte 8 has a type that does not exist in EVT 2\.0"):
        decoder.feed(b"\0\0" + struct.pack("<I", 2 << 28), 1)
    with pytest.raises(InvalidEvents, match="event 0: p is 2; it must be 0 to 1"):
        live_decoder("events13").feed(struct.pack("<QHHB", 0, 0, 0, 2), 1)
    with pytest.raises(InvalidEvents, match="event 0: t is"):
        live_decoder("events13").feed(struct.pack("<QHHB", 2**63, 0, 0, 0), 1)


def test_a_stream_that_ends_inside_a_word_is_refused() -> None:
    decoder = live_decoder("events13")
    decoder.feed(bytes(20), 1)
    with pytest.raises(InvalidEvents, match="the stream ends inside the 13-byte word at byte 13"):
        decoder.end()


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match="events13, events8, evt2, evt21, evt21-legacy, evt3"):
        live_decoder("dat")
