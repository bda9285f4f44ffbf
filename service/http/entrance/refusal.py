"""Refusing a connection that is not for an HTTP request."""

from starlette.types import Receive, Scope, Send

from contract.errors import NotFound, ServiceError
from service.http.failures import close_code, error_response


async def refuse_other(error: ServiceError | None, identity: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket before it opens, for `error` or because there is none; `ValueError` for another connection.

    The refusal is a response with the request's `identity` where the server can send one, otherwise the WebSocket is
    closed.
    """
    if scope["type"] != "websocket":
        raise ValueError(f"this application does not serve connections of type {scope['type']!r}")
    error = error or NotFound("there is no such WebSocket route")
    if "websocket.http.response" in scope.get("extensions", {}):
        await error_response(error, {"x-request-id": identity})(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": close_code(error), "reason": error.message})
