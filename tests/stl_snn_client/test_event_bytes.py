"""Events as the messages of a stream."""

import json
import struct
from collections.abc import Iterable

import numpy as np
import pytest

from contract.events.records import Events13
from stl_snn_client.event_bytes import EVENTS_A_TEXT, PIECE_BYTES, messages_of

EVENTS = np.array([(2**40, 65535, 3, 1), (5, 0, 7, 0)], [("t", "<i8"), ("x", "<i8"), ("y", "<i8"), ("p", "?")])
COLUMNS = {name: EVENTS[name].tolist() for name in "txyp"}
RECORDS = struct.pack("<QHHBQHHB", 2**40, 65535, 3, 1, 5, 0, 7, 0)


def joined(messages: Iterable[bytes | str]) -> bytes:
    return b"".join(message for message in messages if isinstance(message, bytes))


def test_events_of_every_layout_become_the_same_records() -> None:
    packed = EVENTS.astype(Events13.WORD)
    for events in (
        EVENTS,
        packed,
        packed[:],
        COLUMNS,
        EVENTS[["p", "y", "x", "t"]],
        RECORDS,
        np.frombuffer(RECORDS, "u1"),
    ):
        assert joined(messages_of(events, "events13")) == RECORDS
    assert joined(messages_of(np.repeat(packed, 2)[::2], "events13")) == RECORDS


@pytest.mark.parametrize(("name", "value"), [("x", 65536), ("y", -1), ("t", -1), ("p", 256)])
def test_an_event_that_has_no_place_in_a_record_is_refused(name: str, value: int) -> None:
    with pytest.raises(struct.error):
        list(messages_of(COLUMNS | {name: [value, 0]}, "events13"))


def test_other_formats_take_bytes_alone() -> None:
    assert list(messages_of(b"\x00\x01", "evt3")) == [b"\x00\x01"]
    with pytest.raises(ValueError, match="must be bytes"):
        list(messages_of(EVENTS, "evt3"))


def test_many_events_are_cut_into_messages() -> None:
    many = np.zeros(20_000, Events13.WORD)
    assert [len(each) for each in messages_of(many, "events13")][:-1] == [PIECE_BYTES] * 3
    texts = list(messages_of(many, "json"))
    assert len(texts) == 20_000 / EVENTS_A_TEXT
    assert max(len(json.loads(text)["events"]["t"]) for text in texts) == EVENTS_A_TEXT
