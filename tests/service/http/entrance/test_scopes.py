"""What passes the entrance: it is called by hand with scopes of every type."""

import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from contract.settings import Settings
from service.app import Application, create_app
from service.http.entrance.authentication import Authentication
from service.http.entrance.body_limit import BodyLimit
from service.http.entrance.entrance import Entrance
from service.http.entrance.origin import OriginCheck

RESPONSES: dict[str, dict[str, str]] = {"websocket.http.response": {}}


class Inside:
    """Stands behind an entrance and notes the scopes that reach it."""

    def __init__(self, keys: list[str], hosts: list[str] | None = None) -> None:
        self.reached: list[str] = []
        self.entrance = Entrance(
            Application(),
            self,
            [],
            origin=OriginCheck(hosts) if hosts else None,
            authentication=Authentication(keys),
            body_limit=BodyLimit(10, 10),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["type"])


def websocket(key: str | None = None, **fields: Any) -> Scope:
    headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    return {"type": "websocket", "path": "/v1/models/x/stream", "headers": headers, "extensions": {}} | fields


async def call(app: Any, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("keys", [[], ["right"], ["other", "right"]])
async def test_a_websocket_does_not_pass_as_there_is_no_route_for_it(keys: list[str]) -> None:
    inside = Inside(keys)
    [closed] = await call(inside.entrance, websocket("right"))
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert "route" in closed["reason"]
    start, body = await call(inside.entrance, websocket("right", extensions=RESPONSES))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert json.loads(body["body"])["error"]["code"] == "not_found"
    assert inside.reached == []


@pytest.mark.parametrize("key", [None, "", "wrong", "righ", "right2"])
async def test_a_websocket_without_a_right_key_is_refused_before_it_opens(key: str | None) -> None:
    inside = Inside(["right", "other"])
    [closed] = await call(inside.entrance, websocket(key))
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert "API key" in closed["reason"]
    start, body = await call(inside.entrance, websocket(key, extensions=RESPONSES))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["error"]["code"] == "unauthorized"
    assert inside.reached == []


async def test_a_websocket_of_another_site_is_closed_before_it_opens() -> None:
    inside = Inside([], hosts=["localhost"])
    headers = [(b"host", b"localhost"), (b"origin", b"http://evil.example")]
    [closed] = await call(inside.entrance, websocket(headers=headers))
    assert (closed["type"], closed["reason"]) == ("websocket.close", "a page of another site made this request")
    assert inside.reached == []


async def test_the_lifespan_passes() -> None:
    inside = Inside(["right"])
    assert await call(inside.entrance, {"type": "lifespan"}) == []
    assert inside.reached == ["lifespan"]


async def test_a_type_of_connection_that_nobody_knows_does_not_pass() -> None:
    for inside in (Inside([]), Inside(["right"], hosts=["localhost"])):
        with pytest.raises(ValueError, match="'webtransport'"):
            await call(inside.entrance, {"type": "webtransport", "path": "/", "headers": []})
        assert inside.reached == []


async def test_the_application_opens_no_websocket_of_another_path() -> None:
    app = create_app(Settings.model_construct())
    for path in ("/v1/models/x/predict", "/v1/models/x/stream/", "/health/live", "/"):
        [closed] = await call(app, websocket(path=path))
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
