"""`/v2/models/{name}/infer`: inference by the Open Inference Protocol."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import InvalidParameter, UnsupportedMediaType
from service.http.direct_route import DirectRoute
from service.http.failures import OpenInferenceError
from service.http.openapi import body_schema
from service.http.paced_response import PacedResponse
from service.http.parameters import Name, TimeoutHeader, runtime_of, ticket_of
from service.http.request_body import spool_body
from service.http.responses import OF_INFERENCE, failures
from service.inference.input_tensor import Tensor
from service.inference.quick_inputs import QUICK_BODY
from service.open_inference.answer import build_answer
from service.open_inference.bodies import InferAnswer, InferBody
from service.open_inference.infer import infer as run
from service.open_inference.unpack import CODINGS, InferBytes, unpack

JSON_BYTES = "Inference-Header-Content-Length"

_OCTETS = "application/octet-stream"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_LENGTH = {
    "name": JSON_BYTES,
    "in": "header",
    "description": "Bytes of JSON before the binary data of the tensor; without it the whole body is JSON.",
    "schema": {"type": "integer", "minimum": 1},
}
_EXTRA: dict[str, Any] = {
    "parameters": [_LENGTH],
    "requestBody": {
        "required": True,
        "description": "JSON, which may be followed by binary data. The body may be compressed with gzip or deflate.",
        "content": {"application/json": {"schema": body_schema(InferBody)}, _OCTETS: _BINARY},
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {_OCTETS: _BINARY}, "description": "JSON, followed by the outputs that are binary data."},
    **failures(*OF_INFERENCE, body=OpenInferenceError),
}


Version = Annotated[str, Path(description="A version of the model.", pattern="^[1-9][0-9]{0,14}$")]


class NoQuery(BaseModel):
    """The query of an inference: its options are in the body."""


router = APIRouter(tags=["open inference protocol"], route_class=DirectRoute)


@router.post(
    "/v2/models/{name}/infer",
    operation_id="v2_infer",
    summary="Run a model on a tensor",
    response_model=InferAnswer,
    responses=_RESPONSES,
    openapi_extra=_EXTRA,
)
async def infer(
    request: Request, name: Name, query: Annotated[NoQuery, Query()], timeout: TimeoutHeader = None
) -> Response:
    """Run the default version on one input tensor: `image`, `recording`, `pixels` or `events`."""
    return await _infer(request, name, None)


@router.post(
    "/v2/models/{name}/versions/{version}/infer",
    operation_id="v2_infer_version",
    summary="Run a version on a tensor",
    response_model=InferAnswer,
    responses=_RESPONSES,
    openapi_extra=_EXTRA,
)
async def infer_version(
    request: Request, name: Name, version: Version, query: Annotated[NoQuery, Query()], timeout: TimeoutHeader = None
) -> Response:
    """Run a version on one input tensor: `image`, `recording`, `pixels` or `events`."""
    return await _infer(request, name, _number(version))


def _number(version: str) -> int:
    if not (version.isascii() and version.isdecimal() and 0 < len(version) < 16 and int(version)):
        raise InvalidParameter(f"a version is a positive integer, not {version!r}", param="version")
    return int(version)


async def _infer(request: Request, name: str, version: int | None) -> Response:
    runtime, ticket = runtime_of(request), ticket_of(request)
    predictor, settings = runtime.predictor, runtime.settings

    async def read() -> tuple[InferBody, Tensor]:
        coding, json_bytes = _coding(request), _json_bytes(request)
        sent = InferBytes(await spool_body(request, QUICK_BODY), coding, json_bytes)
        return await unpack(sent, runtime.sandbox, max_bytes=settings.max_body_bytes, client=ticket.client)

    answer, held = await run(predictor, settings, name, read, build_answer, version=version, ticket=ticket)
    headers = None if answer.json_bytes is None else {JSON_BYTES: str(answer.json_bytes)}
    media_type = "application/json" if answer.json_bytes is None else _OCTETS
    if held:
        on_end = partial(predictor.answer_bytes.give, held)
        return PacedResponse(answer.data, on_end, headers=headers, media_type=media_type)
    return Response(answer.data, headers=headers, media_type=media_type)


def _coding(request: Request) -> str:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in CODINGS:
        raise UnsupportedMediaType(f"the Content-Encoding is {coding!r}; it must be one of {', '.join(CODINGS)}")
    return coding


def _json_bytes(request: Request) -> int | None:
    length = request.headers.get(JSON_BYTES)
    if length is None:
        return None
    if not (length.isascii() and length.isdecimal() and len(length) < 16):
        raise InvalidParameter(f"{JSON_BYTES} must be a positive integer, not {length!r}", param=JSON_BYTES)
    return int(length)
