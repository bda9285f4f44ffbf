"""The messages of a stream of events, whose bytes are cut anywhere."""

from hypothesis import given
from hypothesis import strategies as st

from stl_snn_client.server_sent_events import EventDecoder, Message

TEXT = (
    'retry: 1000\n\nid: a\nevent: one\ndata: {"text": "é\u2028"}\n\n: keep-alive\n\n'
    "data: first\r\ndata:second\r\n\r\nid: b\revent: three\rdata: x\r\rid: c\n\ndata: never whole"
).encode()
MESSAGES = [
    Message("one", '{"text": "é\u2028"}', "a"),
    Message("message", "first\nsecond", "a"),
    Message("three", "x", "b"),
]


@given(st.lists(st.integers(0, len(TEXT))))
def test_bytes_cut_anywhere_give_the_same_messages(places: list[int]) -> None:
    ends = [*sorted(places), len(TEXT)]
    decoder = EventDecoder()
    found = [decoder.feed(TEXT[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    assert [message for messages in found for message in messages] == MESSAGES
