"""Bodies of requests -> what they hold."""

from typing import Any, TypeVar

import jiter
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from contract import images
from contract.errors import (
    BadRequest,
    InvalidJson,
    InvalidParameter,
    TooLarge,
    TooManyInputs,
    UnsupportedMediaType,
)
from service.http.failures import explain, unknown_name
from service.inference.bodies import PredictBody
from service.inference.decode import File, Given

B = TypeVar("B", bound=BaseModel)

_OCTETS = "application/octet-stream"
_JSON = "application/json"
_MULTIPART = "multipart/form-data"
MEDIA_TYPES = (*images.MEDIA_TYPES, _OCTETS, _MULTIPART, _JSON)

# What is not a number costs many times its own bytes as a Python object, and no honest body holds as many.
_MAX_IN_JSON = {b"[": ("lists", 1_000_000), b"{": ("objects", 100_000), b'"': ("quotation marks", 200_000)}


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
    if found == _MULTIPART and "charset" in parameters:
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
    return _validated(await read_json_value(request), body)


async def read_json_value(request: Request) -> Any:
    """The request's JSON as Python's objects; `UnsupportedMediaType`, `InvalidJson` or `TooLarge`."""
    if media_type(request) != _JSON:
        raise UnsupportedMediaType(f"the Content-Type must be {_JSON}")
    return parse_json(await read_body(request))


def parse_json(data: bytes) -> Any:
    """JSON as Python's objects; `InvalidJson` says where it breaks, `TooLarge` for a great many lists or names.

    Strict: NaN and Infinity, a name given twice in one object, lone surrogates and deep nesting are no JSON here.
    """
    for mark, (what, most) in _MAX_IN_JSON.items():
        if data.count(mark) > most:
            raise TooLarge(f"the JSON has more than the {most} {what} that are taken")
    try:
        return jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from error


def read_inputs(kind: str, data: bytes, *, is_recording: bool, max_inputs: int) -> list[Given]:
    """The inputs of a body that is not multipart, of media type `kind`.

    `is_recording` says that the caller named an event format. `TooManyInputs` before any is looked at, `InvalidJson`,
    `InvalidParameter`, or `BadRequest` for an empty body.
    """
    if not data:
        raise BadRequest("the body is empty")
    if kind != _JSON:
        if kind in images.MEDIA_TYPES:
            return [File(data, "image")]
        return [File(data, "recording" if is_recording else None)]
    value = parse_json(data)
    inputs = value.get("inputs") if isinstance(value, dict) else None
    if isinstance(inputs, list):
        _check_count(len(inputs), max_inputs)
    return list(_validated(value, PredictBody).inputs)


async def read_multipart(request: Request, *, is_recording: bool, max_inputs: int) -> list[Given]:
    """The parts named `file`, each one input; `TooManyInputs`, `BadRequest` or `InvalidParameter`."""
    try:
        form = await request.form(max_files=max_inputs, max_fields=1)
    except HTTPException as error:
        if str(error.detail).startswith("Too many files"):
            _check_count(max_inputs + 1, max_inputs)
        raise BadRequest(f"the multipart body cannot be read: {error.detail}") from error
    try:
        files = [await _file(name, part, is_recording) for name, part in form.multi_items()]
    finally:
        await form.close()
    if not files:
        raise BadRequest("the form has no part named 'file'")
    return files


async def _file(name: str, part: UploadFile | str, is_recording: bool) -> Given:
    if name != "file":
        raise unknown_name(name, ["file"], "a part of this form")
    if not isinstance(part, UploadFile):
        raise InvalidParameter("the part 'file' must be a file, with a filename", param="file")
    return File(await part.read(), "recording" if is_recording else None, part.filename)


def _check_count(count: int, max_inputs: int) -> None:
    if count > max_inputs:
        raise TooManyInputs(f"at most {max_inputs} inputs are taken in one request", param="inputs")


def _validated(value: Any, body: type[B]) -> B:
    try:
        return body.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        if problems[0]["loc"][:1] == ("inputs",):  # the kind of the input, which is no part of the caller's JSON
            problems[0]["loc"] = problems[0]["loc"][:2] + problems[0]["loc"][3:]
        raise explain(problems) from error
