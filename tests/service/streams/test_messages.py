import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import InvalidEvents, InvalidJson, InvalidParameter, TooManyEvents
from service.streams.messages import most_events, read_message

Row = tuple[int, int, int, int]

rows = st.lists(st.tuples(st.integers(0, 2**62 - 1), *[st.integers(0, 2000)] * 2, st.integers(0, 1)), max_size=20)


def message(events: list[Row]) -> bytes:
    columns = {name: [row[index] for row in events] for index, name in enumerate("txyp")}
    return json.dumps({"events": columns}, separators=(",", ":")).encode()


@given(events=rows, cuts=st.lists(st.integers(0, 20), max_size=4))
@settings(deadline=None, max_examples=40)
def test_events_in_any_messages_are_those_that_were_sent(events: list[Row], cuts: list[int]) -> None:
    found, start = [], 0
    for end in [*sorted(min(cut, len(events)) for cut in cuts), len(events)]:
        text = message(events[start:end])
        assert end - start <= most_events(len(text))
        part = read_message(text, most_events(len(text)))
        assert isinstance(part, np.ndarray)
        found += part.tolist()
        start = end
    assert found == [list(row) for row in events]


@pytest.mark.parametrize("command", ["flush", "reset", "close"])
def test_a_command_is_named_by_its_type(command: str) -> None:
    assert read_message(json.dumps({"type": command}).encode(), 0) == command


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({}, InvalidParameter, "either 'events' or 'type', one of flush, reset, close"),
        ({"type": "flush", "events": {"t": [], "x": [], "y": [], "p": []}}, InvalidParameter, "either 'events' or"),
        ({"type": "stop"}, InvalidParameter, "type: Input should be 'flush', 'reset' or 'close'"),
        ({"type": "flush", "now": True}, InvalidParameter, "now: "),
        ([], InvalidParameter, "must be a JSON object"),
        ({"events": {"t": [1], "x": [1], "y": [1]}}, InvalidParameter, r"events\.p: "),
        ({"events": {"t": [1], "x": [1], "y": [1], "p": [True]}}, InvalidEvents, "p must be an integer, not true"),
        ({"events": {"t": [1], "x": [1], "y": [1], "p": [2]}}, InvalidEvents, "event 0: p is 2"),
        ({"events": {"t": [1, 2], "x": [1], "y": [1], "p": [0]}}, InvalidEvents, "must have the same length"),
        ({"events": {"t": [1] * 9, "x": [1] * 9, "y": [1] * 9, "p": [0] * 9}}, TooManyEvents, "limit of 8 events"),
    ],
)
def test_anything_else_is_refused(value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        read_message(json.dumps(value).encode(), 8)


def test_a_message_that_is_not_json_is_refused() -> None:
    for text in (b"", b"flush", b'{"type": "flush"', b'{"type": NaN}'):
        with pytest.raises(InvalidJson):
            read_message(text, 8)
