"""`POST /v1/models/{name}/predict`."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from contract import images
from service.http.direct_route import DirectRoute
from service.http.openapi import body_schema
from service.http.paced_response import PacedResponse
from service.http.parameters import Name, TimeoutHeader, VersionQuery, runtime_of, ticket_of
from service.http.request_body import content_type_of, spool_body
from service.http.responses import OF_INFERENCE, failures
from service.inference.bodies import PredictAnswer, PredictBody
from service.inference.inputs import Body
from service.inference.options import PredictOptions
from service.inference.quick_inputs import QUICK_BODY

_FILE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}},
    "required": ["file"],
}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "One image, one recording, a form of files, or JSON.",
    "content": {
        **dict.fromkeys(images.MEDIA_TYPES, _FILE),
        "application/octet-stream": _FILE,
        "multipart/form-data": {"schema": _FORM},
        "application/json": {"schema": body_schema(PredictBody)},
    },
}
_FAILURES = failures(*OF_INFERENCE)


class PredictQuery(PredictOptions):
    """The query of a prediction: its options, and the version."""

    version: VersionQuery = None


router = APIRouter(tags=["inference"], route_class=DirectRoute)


@router.post(
    "/v1/models/{name}/predict",
    operation_id="predict",
    summary="Classify images or event recordings",
    response_model=PredictAnswer,
    responses=_FAILURES,
    openapi_extra={"requestBody": _BODY},
)
async def predict(
    request: Request, name: Name, query: Annotated[PredictQuery, Query()], timeout: TimeoutHeader = None
) -> Response:
    """Classify each input and count its spikes and operations, with an estimate of their energy.

    The same input with the same seed gives the same response. Inputs are independent of each other; if one of them is
    invalid, `param` names it and none is run.
    """
    runtime = runtime_of(request)

    async def read() -> Body:
        return Body(content_type_of(request), await spool_body(request, QUICK_BODY))

    predictor = runtime.predictor
    body, held = await predictor.predict_json(name, read, query, version=query.version, ticket=ticket_of(request))
    if held:
        return PacedResponse(body, on_end=partial(predictor.answer_bytes.give, held))
    return Response(body, media_type="application/json")
