"""`POST /v1/models/{name}/predict`."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from contract import errors, images
from contract.card import Card
from service.http.openapi import body_schema
from service.http.parameters import Name, TimeoutHeader, VersionQuery, check_timeout, read_query, runtime_of, ticket_of
from service.http.request_body import media_type, read_body, read_multipart
from service.http.responses import failures
from service.inference.bodies import PredictAnswer, PredictBody, Prediction
from service.inference.decode import QUICK_BYTES, Decoded, DecodeOptions, RawInput, decode_all, is_quick
from service.inference.inputs import read_inputs
from service.inference.options import PredictOptions, predictions, resolve
from service.telemetry.logs import new_id
from service.telemetry.metrics import Metrics

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
_FAILURES = failures(
    errors.BadRequest,
    errors.InvalidJson,
    errors.ModelNotFound,
    errors.VersionNotFound,
    errors.TooLarge,
    errors.ImageTooLarge,
    errors.TooManyEvents,
    errors.TooManyInputs,
    errors.UnsupportedMediaType,
    errors.RequestTimeout,
    errors.InvalidImage,
    errors.InvalidEvents,
    errors.WrongInputKind,
    errors.Overloaded,
    errors.ModelError,
    errors.Unavailable,
    errors.ModelFailedToLoad,
    errors.ShuttingDown,
    errors.DeadlineExceeded,
)


class PredictQuery(PredictOptions):
    """What a caller may ask for besides the bare answer, and of which version."""

    version: VersionQuery = None


class PredictRoute(APIRoute):
    """Documented by FastAPI, from the endpoint's signature, but not run by it.

    FastAPI reads one parameter after the other and keeps two exit stacks for what a route may have and this one does
    not: together more than a third of a small request's time. Dependencies are not run either.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whose parameters are read here."""
        if scope["method"] != "POST":
            await super().handle(scope, receive, send)  # which says what is allowed
            return
        request = Request(scope, receive, send)
        query = read_query(request, PredictQuery)
        check_timeout(request)
        response = await predict(request, request.path_params["name"], query)
        await response(scope, receive, send)


router = APIRouter(tags=["inference"], route_class=PredictRoute)


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
    """Classify each input, and say how many spikes, operations and nanojoules it took.

    The same input with the same seed gives the same answer. Inputs are independent of each other; when one of them is
    bad, `param` names it and none is run.
    """
    started = time.perf_counter()
    runtime, ticket = runtime_of(request), ticket_of(request)
    version, engine = await runtime.registry.get(name, query.version, timeout=ticket.remaining)
    request.state.model = name
    card = engine.card
    wanted = resolve(query, card, runtime.settings, runtime.profiles)
    decoded = await _decoded(request, card, wanted.options, runtime.settings.max_inputs)
    ran = await runtime.batcher.submit(engine, [each.sample for each in decoded], ticket)
    told = predictions(decoded, ran, card, wanted)
    runtime.metrics.waited(name, ran.queue_ms / 1000)
    _count(runtime.metrics, name, told)
    answer: PredictAnswer = {
        "id": f"pred-{new_id()}",
        "model": name,
        "version": version.number,
        "predictions": told,
        "timing": {
            "queue_ms": ran.queue_ms,
            "compute_ms": ran.compute_ms,
            "total_ms": (time.perf_counter() - started) * 1000,
            "batch_size": ran.batch_size,
        },
    }
    return Response(to_json(answer, inf_nan_mode="null"), media_type="application/json")


async def _decoded(request: Request, card: Card, options: DecodeOptions, max_inputs: int) -> list[Decoded]:
    """Read and decode the body: a small one here, a large one in a thread, so that others are not held up."""
    kind = media_type(request)
    is_recording = options.format is not None
    if kind == "multipart/form-data":
        inputs = await read_multipart(request, is_recording=is_recording, max_inputs=max_inputs)
        return await _decode_aside(inputs, card, options)
    data = await read_body(request)

    def read() -> list[RawInput]:
        return read_inputs(kind, data, is_recording=is_recording, max_inputs=max_inputs)

    return await _decode_aside(read() if len(data) <= QUICK_BYTES else await asyncio.to_thread(read), card, options)


async def _decode_aside(inputs: list[RawInput], card: Card, options: DecodeOptions) -> list[Decoded]:
    if len(inputs) == 1 and is_quick(inputs[0]):
        return decode_all(inputs, card, options)
    return await asyncio.to_thread(decode_all, inputs, card, options)


def _count(metrics: Metrics, model: str, told: list[Prediction]) -> None:
    for each in told:
        metrics.prediction(
            model,
            spikes=each["spikes"]["total"],
            accumulates=each["energy"]["accumulates"],
            multiply_accumulates=each["energy"]["multiply_accumulates"],
            estimate_nj=each["energy"]["estimate_nj"],
            profile=each["energy"]["profile"],
        )
