"""What the middlewares guard, and that nothing else passes: each is called by hand with scopes of every type."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.settings import Settings
from service.app import create_app
from service.http.middleware.admission import AdmissionMiddleware
from service.http.middleware.authentication import Authentication
from service.http.middleware.body_limit import BodyLimit
from service.http.middleware.context import RequestContext

Wrap = Callable[[ASGIApp], ASGIApp]
WITHOUT_GUARD: dict[str, Wrap] = {
    "context": RequestContext,
    "body_limit": lambda app: BodyLimit(app, max_bytes=10, max_upload_bytes=10),
    "admission": AdmissionMiddleware,
}
ALL: dict[str, Wrap] = WITHOUT_GUARD | {"authentication": lambda app: Authentication(app, keys=["right"])}
RESPONSES: dict[str, dict[str, str]] = {"websocket.http.response": {}}


class Application:
    """Stands behind a middleware and notes the scopes that reach it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["type"])


def websocket(key: str | None = None, **fields: Any) -> Scope:
    headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    return {"type": "websocket", "path": "/v1/models/x/stream", "headers": headers, "extensions": {}} | fields


async def call(app: ASGIApp, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("name", WITHOUT_GUARD)
async def test_a_websocket_does_not_pass_where_no_guard_for_it_exists(name: str) -> None:
    inside = Application()
    [closed] = await call(WITHOUT_GUARD[name](inside), websocket("right"))
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert inside.reached == []


@pytest.mark.parametrize("name", WITHOUT_GUARD)
async def test_a_websocket_is_refused_with_a_response_where_its_server_can_send_one(name: str) -> None:
    inside = Application()
    start, body = await call(WITHOUT_GUARD[name](inside), websocket("right", extensions=RESPONSES))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert json.loads(body["body"])["error"]["code"] == "not_found"
    assert inside.reached == []


@pytest.mark.parametrize("key", [None, "", "wrong", "righ", "right2"])
async def test_a_websocket_without_a_right_key_is_refused_before_it_opens(key: str | None) -> None:
    inside = Application()
    [closed] = await call(Authentication(inside, keys=["right", "other"]), websocket(key))
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert "API key" in closed["reason"]
    start, body = await call(Authentication(inside, keys=["right"]), websocket(key, extensions=RESPONSES))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["error"]["code"] == "unauthorized"
    assert inside.reached == []


@pytest.mark.parametrize("keys", [["right"], ["other", "right"], []])
async def test_a_websocket_with_a_right_key_passes_authentication(keys: list[str]) -> None:
    inside = Application()
    assert await call(Authentication(inside, keys=keys), websocket("right")) == []
    assert inside.reached == ["websocket"]


@pytest.mark.parametrize("name", ALL)
async def test_the_lifespan_passes_every_middleware(name: str) -> None:
    inside = Application()
    assert await call(ALL[name](inside), {"type": "lifespan"}) == []
    assert inside.reached == ["lifespan"]


@pytest.mark.parametrize("name", ALL)
async def test_a_type_of_connection_that_nobody_knows_passes_no_middleware(name: str) -> None:
    inside = Application()
    with pytest.raises(ValueError, match="'webtransport'"):
        await call(ALL[name](inside), {"type": "webtransport", "path": "/", "headers": []})
    assert inside.reached == []


async def test_the_application_opens_no_websocket() -> None:
    app = create_app(Settings.model_construct())
    for key in (None, "right"):
        [closed] = await call(app, websocket(key))
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
