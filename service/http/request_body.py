"""Request bodies: media types, whole bodies, and JSON."""

from typing import Any

from starlette.requests import ClientDisconnect, Request

from contract.errors import UnsupportedMediaType
from service.inference.inputs import JSON, MEDIA_TYPES, MULTIPART, UNDECLARED
from service.parsing import B, parse_json, validate_body
from service.sandbox.message import Spool

# What curl and HTML forms send where nobody chose a type; the content says more.
_UNCHOSEN = ("", "application/x-www-form-urlencoded")


def content_type_of(request: Request) -> str:
    """The body's Content-Type, with its parameters; `UNDECLARED` where the content is to decide.

    `UnsupportedMediaType` as from `media_type`.
    """
    declared = request.headers.get("content-type", "")
    if declared.partition(";")[0].strip().lower() in _UNCHOSEN:
        _check_coding(request)
        return UNDECLARED
    media_type(request)
    return declared


def media_type(request: Request) -> str:
    """The body's media type without its parameters.

    `UnsupportedMediaType` for an unknown type, for a body with a `Content-Encoding`, and for a form with a charset.
    """
    found, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    found = found.strip()
    if found not in MEDIA_TYPES:
        shown = repr(found) if found else "missing"
        raise UnsupportedMediaType(f"the Content-Type is {shown}; it must be one of {', '.join(MEDIA_TYPES)}")
    _check_coding(request)
    if found == MULTIPART and "charset" in parameters:
        raise UnsupportedMediaType("send the form without a charset: its names are UTF-8")
    return found


def _check_coding(request: Request) -> None:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType(f"the Content-Encoding is {coding!r}; send the body without an encoding")


async def receive_piece(request: Request) -> tuple[bytes, bool]:
    """The next piece of the body, and whether more follows; `ClientDisconnect`."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


async def read_body(request: Request) -> bytes:
    """The whole body, in memory that depends on its size and not on the number of pieces in which it arrives."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
    return bytes(body)


async def spool_body(request: Request, above: int) -> bytes | Spool:
    """The whole body; in a `Spool` if it has more than `above` bytes, so that another process can have it as it is."""
    piece, more = await receive_piece(request)
    if not more and len(piece) <= above:  # as nearly always
        return piece
    body, spool = bytearray(), None
    try:
        while True:
            if spool is None and len(body) + len(piece) > above:
                spool = Spool()
                spool.write(body)
            if spool is None:
                body += piece
            else:
                spool.write(piece)
            if not more:
                break
            piece, more = await receive_piece(request)
    except BaseException:
        if spool is not None:
            spool.close()
        raise
    return bytes(body) if spool is None else spool


async def read_json(request: Request, body: type[B]) -> B:
    """The request's JSON as `body`; `UnsupportedMediaType`, `InvalidJson`, `TooLarge` or `InvalidParameter`."""
    return validate_body(await read_json_value(request), body)


async def read_json_value(request: Request) -> Any:
    """The request's JSON as Python's objects; `UnsupportedMediaType`, `InvalidJson` or `TooLarge`."""
    if media_type(request) != JSON:
        raise UnsupportedMediaType(f"the Content-Type must be {JSON}")
    return parse_json(await read_body(request))
