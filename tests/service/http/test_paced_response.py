"""Large bodies are sent in pieces."""

import pytest
from starlette.types import Message, Receive

from service.http.paced_response import PacedResponse

BODY = bytes(range(256)) * 1000


async def nothing() -> Message:
    raise AssertionError("nothing is received")


RECEIVE: Receive = nothing


async def test_the_pieces_are_the_body_and_the_end_is_told_once() -> None:
    sent: list[Message] = []
    ended: list[int] = []

    async def send(message: Message) -> None:
        assert ended == []
        sent.append(message)

    await PacedResponse(BODY, lambda: ended.append(len(sent)))({"type": "http"}, RECEIVE, send)
    assert (b"content-length", str(len(BODY)).encode()) in sent[0]["headers"]
    assert b"".join(message["body"] for message in sent[1:]) == BODY
    assert max(len(message["body"]) for message in sent[1:]) <= 64 * 1024
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * 4 + [False]
    assert ended == [len(sent)]


async def test_the_end_is_told_where_the_client_leaves() -> None:
    ended: list[bool] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await PacedResponse(BODY, lambda: ended.append(True))({"type": "http"}, RECEIVE, send)
    assert ended == [True]
