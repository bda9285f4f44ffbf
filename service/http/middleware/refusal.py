"""Refusing a connection, whatever its protocol."""

from starlette.types import Receive, Scope, Send

from contract.errors import NotFound, ServiceError
from service.http.failures import error_response

POLICY_VIOLATION = 1008


async def refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the error's response; close a WebSocket before it opens if its server sends no responses there."""
    if scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
        await error_response(error)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.message})


async def refuse_unguarded(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a connection of a kind that a middleware does not guard: `NotFound` for a WebSocket, else `ValueError`."""
    if scope["type"] != "websocket":
        raise ValueError(f"this application does not serve connections of type {scope['type']!r}")
    await refuse(NotFound("there is no such WebSocket route"), scope, receive, send)
