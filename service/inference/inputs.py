"""A body of a known media type -> its inputs."""

from dataclasses import dataclass

from contract import images
from contract.errors import BadRequest, TooManyInputs, UnsupportedMediaType
from service.inference.bodies import PredictBody
from service.inference.decode import File, RawInput
from service.inference.forms import read_files
from service.parsing import parse_json, validate_body
from service.sandbox.message import Spool

OCTETS = "application/octet-stream"
JSON = "application/json"
MULTIPART = "multipart/form-data"
UNDECLARED = ""
"""In place of a Content-Type: the content decides between JSON and a file."""
MEDIA_TYPES = (*images.MEDIA_TYPES, OCTETS, MULTIPART, JSON)


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it was sent: its Content-Type, with parameters, and its bytes; long ones lie in a `Spool`."""

    content_type: str
    data: bytes | Spool


def read_inputs(content_type: str, data: bytes, *, max_inputs: int) -> list[RawInput]:
    """The inputs of a body.

    Raises `TooManyInputs` before it looks at any input, `InvalidJson`, `InvalidParameter`, `UnsupportedMediaType`, or
    `BadRequest` for an empty body and a broken form.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        return list(read_files(content_type, data, max_inputs))
    if not data:
        raise BadRequest("the body is empty")
    if media_type == UNDECLARED:
        media_type = JSON if data.lstrip()[:1] == b"{" else OCTETS
    if media_type == JSON:
        value = parse_json(data)
        inputs = value.get("inputs") if isinstance(value, dict) else None
        if isinstance(inputs, list):
            check_count(len(inputs), max_inputs)
        return list(validate_body(value, PredictBody).inputs)
    if media_type in MEDIA_TYPES:
        return [File(data, "image" if media_type in images.MEDIA_TYPES else None)]
    raise UnsupportedMediaType(f"the Content-Type must be one of {', '.join(MEDIA_TYPES)}")


def check_count(count: int, max_inputs: int) -> None:
    """`TooManyInputs` for more than one request may have."""
    if count > max_inputs:
        raise TooManyInputs(f"a request may have at most {max_inputs} inputs", param="inputs")
