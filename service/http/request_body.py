"""Bodies of requests -> what they hold."""

from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from contract.errors import BadRequest, InvalidParameter, UnsupportedMediaType
from service.inference.decode import File, RawInput
from service.inference.inputs import JSON, MEDIA_TYPES, MULTIPART, check_count
from service.parsing import B, parse_json, unknown_name, validate_body


def media_type(request: Request) -> str:
    """The body's media type without its parameters; `UnsupportedMediaType` for one that is not read here.

    Nor is a body that is compressed as a whole, or a form whose text is not UTF-8.
    """
    found, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    found = found.strip()
    if found not in MEDIA_TYPES:
        shown = repr(found) if found else "missing"
        raise UnsupportedMediaType(f"the Content-Type is {shown}, it must be one of {', '.join(MEDIA_TYPES)}")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType(f"the Content-Encoding is {coding!r}, the body must be sent as it is")
    if found == MULTIPART and "charset" in parameters:
        raise UnsupportedMediaType("a form has no charset: its names are UTF-8")
    return found


async def read_body(request: Request) -> bytes:
    """The whole body, in a memory that follows its bytes and not the number of pieces it comes in."""
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


async def read_multipart(request: Request, *, is_recording: bool, max_inputs: int) -> list[RawInput]:
    """The parts named `file`, each one input; `TooManyInputs`, `BadRequest` or `InvalidParameter`."""
    try:
        form = await request.form(max_files=max_inputs, max_fields=1)
    except HTTPException as error:
        if str(error.detail).startswith("Too many files"):
            check_count(max_inputs + 1, max_inputs)
        raise BadRequest(f"the multipart body cannot be read: {error.detail}") from error
    try:
        files = [await _file(name, part, is_recording) for name, part in form.multi_items()]
    finally:
        await form.close()
    if not files:
        raise BadRequest("the form has no part named 'file'")
    return files


async def _file(name: str, part: UploadFile | str, is_recording: bool) -> RawInput:
    if name != "file":
        raise unknown_name(name, ["file"], "a part of this form")
    if not isinstance(part, UploadFile):
        raise InvalidParameter("the part 'file' must be a file, with a filename", param="file")
    return File(await part.read(), "recording" if is_recording else None, part.filename)
