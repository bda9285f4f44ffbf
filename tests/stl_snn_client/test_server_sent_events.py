"""The messages of a stream of events, whose bytes are cut anywhere."""

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


def decoded(*pieces: bytes) -> list[Message]:
    decoder = EventDecoder()
    return [message for piece in pieces for message in decoder.feed(piece)]


def test_bytes_cut_anywhere_give_the_same_messages() -> None:
    assert decoded(*(TEXT[index : index + 1] for index in range(len(TEXT)))) == MESSAGES
    for place in range(len(TEXT) + 1):
        assert decoded(TEXT[:place], TEXT[place:]) == MESSAGES
