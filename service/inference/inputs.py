"""A body of a known media type -> its inputs."""

import asyncio

from contract import images
from contract.errors import BadRequest, TooManyInputs
from service.inference.bodies import PredictBody
from service.inference.decode import QUICK_BYTES, File, RawInput
from service.parsing import parse_json, validate_body

OCTETS = "application/octet-stream"
JSON = "application/json"
MULTIPART = "multipart/form-data"
MEDIA_TYPES = (*images.MEDIA_TYPES, OCTETS, MULTIPART, JSON)


async def read_inputs(media_type: str, data: bytes, *, max_inputs: int) -> list[RawInput]:
    """The inputs of a body that is not multipart.

    Large JSON is parsed in a thread, so that it does not hold up other requests. Raises `TooManyInputs` before it looks
    at any input, `InvalidJson`, `InvalidParameter`, or `BadRequest` for an empty body.
    """
    if media_type != JSON or len(data) <= QUICK_BYTES:
        return _read(media_type, data, max_inputs)
    return await asyncio.to_thread(_read, media_type, data, max_inputs)


def _read(media_type: str, data: bytes, max_inputs: int) -> list[RawInput]:
    if not data:
        raise BadRequest("the body is empty")
    if media_type != JSON:
        return [File(data, "image" if media_type in images.MEDIA_TYPES else None)]
    value = parse_json(data)
    inputs = value.get("inputs") if isinstance(value, dict) else None
    if isinstance(inputs, list):
        check_count(len(inputs), max_inputs)
    return list(validate_body(value, PredictBody).inputs)


def check_count(count: int, max_inputs: int) -> None:
    """`TooManyInputs` for more than one request may have."""
    if count > max_inputs:
        raise TooManyInputs(f"a request may have at most {max_inputs} inputs", param="inputs")
