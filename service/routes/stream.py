"""`/v1/models/{name}/stream`: live events in, decisions out, over a WebSocket."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from service.http.failures import close_code
from service.http.parameters import VersionQuery, runtime_of
from service.http.socket_route import SocketRoute
from service.inference.admission import ClientLeft
from service.inference.stream_options import StreamOptions

PATH = "/v1/models/{name}/stream"

_DONE = 1000


class StreamQuery(StreamOptions):
    """The query of a stream: its options, and the version."""

    version: VersionQuery = None


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
            await socket.accept(headers=[(b"x-request-id", socket.state.identity.encode())])
            error = await stream.run(receive, send)
            await (socket.close(_DONE) if error is None else socket.close(close_code(error), error.code))
        except (ClientLeft, WebSocketDisconnect):
            return


SOCKETS = (SocketRoute(PATH, StreamQuery, stream_socket),)
