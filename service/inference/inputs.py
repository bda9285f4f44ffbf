"""A body of a known media type -> the inputs it holds."""

from contract import images
from contract.errors import BadRequest, TooManyInputs
from service.inference.bodies import PredictBody
from service.inference.decode import File, RawInput
from service.parsing import parse_json, validate_body

OCTETS = "application/octet-stream"
JSON = "application/json"
MULTIPART = "multipart/form-data"
MEDIA_TYPES = (*images.MEDIA_TYPES, OCTETS, MULTIPART, JSON)


def read_inputs(kind: str, data: bytes, *, is_recording: bool, max_inputs: int) -> list[RawInput]:
    """The inputs of a body that is not multipart, of media type `kind`.

    `is_recording` says that the caller named an event format. `TooManyInputs` before any is looked at, `InvalidJson`,
    `InvalidParameter`, or `BadRequest` for an empty body.
    """
    if not data:
        raise BadRequest("the body is empty")
    if kind != JSON:
        if kind in images.MEDIA_TYPES:
            return [File(data, "image")]
        return [File(data, "recording" if is_recording else None)]
    value = parse_json(data)
    inputs = value.get("inputs") if isinstance(value, dict) else None
    if isinstance(inputs, list):
        check_count(len(inputs), max_inputs)
    return list(validate_body(value, PredictBody).inputs)


def check_count(count: int, max_inputs: int) -> None:
    """`TooManyInputs` for more than one request may hold."""
    if count > max_inputs:
        raise TooManyInputs(f"at most {max_inputs} inputs are taken in one request", param="inputs")
