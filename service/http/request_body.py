"""Request bodies: media types, whole bodies, JSON and forms."""

from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from contract.errors import BadRequest, InvalidParameter, UnsupportedMediaType
from service.inference.inputs import JSON, MEDIA_TYPES, MULTIPART, check_count
from service.parsing import B, parse_json, unknown_name, validate_body


def media_type(request: Request) -> str:
    """The body's media type without its parameters.

    `UnsupportedMediaType` for an unknown type, for a body with a `Content-Encoding`, and for a form with a charset.
    """
    found, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    found = found.strip()
    if found not in MEDIA_TYPES:
        shown = repr(found) if found else "missing"
        raise UnsupportedMediaType(f"the Content-Type is {shown}; it must be one of {', '.join(MEDIA_TYPES)}")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType(f"the Content-Encoding is {coding!r}; send the body without an encoding")
    if found == MULTIPART and "charset" in parameters:
        raise UnsupportedMediaType("send the form without a charset: its names are UTF-8")
    return found


async def read_body(request: Request) -> bytes:
    """The whole body, in memory that depends on its size and not on the number of pieces in which it arrives."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
    return bytes(body)


async def read_json(request: Request, body: type[B]) -> B:
    """The request's JSON as `body`; `UnsupportedMediaType`, `InvalidJson`, `TooLarge` or `InvalidParameter`."""
    return validate_body(await read_json_value(request), body)


async def read_json_value(request: Request) -> Any:
    """The request's JSON as Python's objects; `UnsupportedMediaType`, `InvalidJson` or `TooLarge`."""
    if media_type(request) != JSON:
        raise UnsupportedMediaType(f"the Content-Type must be {JSON}")
    return parse_json(await read_body(request))


class FilePart(NamedTuple):
    """A file in a form: its content, and the name its sender gave it."""

    data: bytes
    filename: str | None


async def read_files(request: Request, max_files: int) -> list[FilePart]:
    """The files of a form, all in parts named `file`; `TooManyInputs`, `BadRequest` or `InvalidParameter`."""
    try:
        form = await request.form(max_files=max_files, max_fields=1)
    except HTTPException as error:
        if str(error.detail).startswith("Too many files"):
            check_count(max_files + 1, max_files)
        raise BadRequest(f"the multipart body cannot be read: {error.detail}") from error
    try:
        parts = [await _file(name, part) for name, part in form.multi_items()]
    finally:
        await form.close()
    if not parts:
        raise BadRequest("the form has no part named 'file'")
    return parts


async def _file(name: str, part: UploadFile | str) -> FilePart:
    if name != "file":
        raise unknown_name(name, ["file"], "a part of this form")
    if not isinstance(part, UploadFile):
        raise InvalidParameter("the part 'file' must be a file, with a filename", param="file")
    return FilePart(await part.read(), part.filename)
