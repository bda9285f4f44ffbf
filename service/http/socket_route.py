"""`SocketRoute`: a WebSocket's route, which the `Entrance` finds and calls."""

import logging
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from contract.errors import ServiceError
from service.http.entrance.refusal import refuse_other
from service.http.failures import HTTP_STATUS, close_code, uncaught
from service.http.parameters import read_query

_SWITCHED = 101

log = logging.getLogger(__name__)

Endpoint = Callable[..., Awaitable[None]]


class SocketRoute:
    """Calls its endpoint with the WebSocket, the parameters in its path, and its query as a pydantic model.

    An error that the endpoint raises before it accepts the WebSocket is the response to it, like that of any other
    request; afterwards the endpoint closes it by itself.
    """

    def __init__(self, path: str, query: type[BaseModel], endpoint: Endpoint) -> None:
        self.path = path
        self._regex, _, _ = compile_path(path)
        self._query = query
        self._endpoint = endpoint

    def is_for(self, scope: Scope) -> bool:
        """Whether a connection is a WebSocket for this route."""
        return scope["type"] == "websocket" and self._regex.match(scope["path"]) is not None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Serve the WebSocket until it is closed; the status of the response to its request, 101 if it was opened."""
        scope["route"] = self
        found = self._regex.match(scope["path"])
        scope["path_params"] = found.groupdict() if found else {}
        socket = WebSocket(scope, receive, send)
        error: ServiceError
        try:
            await self._endpoint(socket, query=read_query(socket, self._query), **socket.path_params)
            return _SWITCHED
        except ServiceError as failure:
            error = failure
        except Exception:
            log.exception("the WebSocket of %s failed", self.path)
            error = uncaught()
        if socket.application_state == WebSocketState.CONNECTING:
            await refuse_other(error, scope["state"]["identity"], scope, receive, send)
            return HTTP_STATUS.get(error.code, 500)
        if socket.application_state == WebSocketState.CONNECTED:
            await socket.close(close_code(error), error.code)
        return _SWITCHED
