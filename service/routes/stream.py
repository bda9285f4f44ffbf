"""`/v1/models/{name}/stream`: live events in, decisions out, over a WebSocket or as lines of JSON."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from contract import errors
from service.http.direct_route import DirectRoute
from service.http.failures import close_code
from service.http.live_response import BYTES, LINES, LiveResponse, check_live_body
from service.http.openapi import body_schema
from service.http.parameters import Name, VersionQuery, runtime_of
from service.http.responses import failures
from service.http.socket_route import SocketRoute
from service.inference.admission import ClientLeft
from service.streams.messages import Message
from service.streams.options import StreamOptions

PATH = "/v1/models/{name}/stream"
SUBPROTOCOL = "stl-snn"

_DONE = 1000

_EVENTS = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "Events as bytes, cut anywhere, or with format=json a text message a line. It may have no end.",
    "content": {BYTES: _EVENTS, LINES: {"schema": body_schema(Message)}},
}
_MESSAGES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {LINES: {"schema": {"type": "string"}}},
        "description": "A message a line, each as soon as it is known; docs/asyncapi.json describes them.",
    }
}
_FAILURES = failures(
    errors.BadRequest,
    errors.ModelNotFound,
    errors.VersionNotFound,
    errors.UnsupportedMediaType,
    errors.WrongInputKind,
    errors.Overloaded,
    errors.Unavailable,
    errors.ModelFailedToLoad,
    errors.ShuttingDown,
)


class StreamQuery(StreamOptions):
    """The query of a stream: its options, and the version."""

    version: VersionQuery = None


router = APIRouter(tags=["inference"], route_class=DirectRoute)


@router.post(
    PATH,
    operation_id="stream",
    summary="Decide on live events",
    response_class=Response,
    responses={**_MESSAGES, **_FAILURES},
    openapi_extra={"requestBody": _BODY},
)
async def stream(request: Request, name: Name, query: Annotated[StreamQuery, Query()]) -> Response:
    """Answer each time step of a body of events with a decision, while the body still comes in.

    The same as the WebSocket of this path, for clients that have none. The end of the body closes the stream.
    """
    check_live_body(request, is_text=query.format == "json")
    streams = runtime_of(request).live_streams
    opened = await streams.open(name, query, version=query.version, caller=request.state.caller)
    return LiveResponse(opened, is_text=query.format == "json")


async def stream_socket(socket: WebSocket, name: str, query: StreamQuery) -> None:
    """Decide on the events of a WebSocket until it is closed."""
    streams = runtime_of(socket).live_streams

    async def receive() -> bytes | str | None:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ClientLeft
        data: bytes | str = message.get("bytes") or message.get("text") or b""
        return data

    async def send(message: bytes) -> None:
        try:
            await socket.send_text(message.decode())
        except WebSocketDisconnect:
            raise ClientLeft from None

    with await streams.open(name, query, version=query.version, caller=socket.state.caller) as stream:
        try:
            chosen = SUBPROTOCOL if SUBPROTOCOL in socket.scope.get("subprotocols", ()) else None
            await socket.accept(chosen, headers=[(b"x-request-id", socket.state.identity.encode())])
            error = await stream.run(receive, send)
            await (socket.close(_DONE) if error is None else socket.close(close_code(error), error.code))
        except (ClientLeft, WebSocketDisconnect):
            return


SOCKETS = (SocketRoute(PATH, StreamQuery, stream_socket),)
