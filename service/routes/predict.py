"""`POST /v1/models/{name}/predict`."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from service import errors, events, images
from service.answer import prediction
from service.card import Card
from service.decode import QUICK_BYTES, Decoded, Given, Options, decode_all, is_quick
from service.failures import unknown_name
from service.logs import new_id
from service.metrics import Metrics
from service.routes.bodies import media_type, read_body, read_inputs, read_multipart
from service.routes.parameters import Name, TimeoutHeader, VersionQuery, runtime_of, ticket_of
from service.routes.responses import answer, failures
from service.schemas import Detail, PredictAnswer, PredictBody, Prediction, Timing

router = APIRouter(tags=["inference"])

DEFAULT_TOP_K = 5

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
        "application/json": {"schema": {"$ref": f"#/components/schemas/{PredictBody.__name__}"}},
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


@router.post(
    "/v1/models/{name}/predict",
    operation_id="predict",
    summary="Classify images or event recordings",
    response_model=PredictAnswer,
    response_model_exclude_unset=True,
    responses=_FAILURES,
    openapi_extra={"requestBody": _BODY},
)
async def predict(
    request: Request,
    name: Name,
    timeout: TimeoutHeader = None,
    version: VersionQuery = None,
    detail: Annotated[Detail, Query(description="What else is told: of each layer, or of each time step.")] = "summary",
    top_k: Annotated[
        int | None, Query(ge=1, description="Classes in `top_k`; by default 5, or all where there are fewer.")
    ] = None,
    seed: Annotated[int, Query(ge=0, lt=2**63, description="Seed of the inputs that carry none.")] = 0,
    energy_profile: Annotated[str | None, Query(description="Energy profile; by default the service's.")] = None,
    format: Annotated[str | None, Query(description="Format of an event recording.")] = None,
    camera: Annotated[str | None, Query(description="Camera of an AEDAT 2 recording.")] = None,
) -> Response:
    """Classify each input, and say how many spikes, operations and nanojoules it took.

    The same input with the same seed gives the same answer. Inputs are independent of each other; when one of them is
    bad, `param` names it and none is run.
    """
    started = time.perf_counter()
    runtime, ticket = runtime_of(request), ticket_of(request)
    model = await runtime.registry.get(name, version, timeout=ticket.remaining)
    request.state.model = name
    checkpoint = model.checkpoint
    assert checkpoint is not None
    card = checkpoint.card
    profile_name = energy_profile if energy_profile is not None else runtime.settings.energy_profile
    if profile_name not in runtime.profiles:
        error = unknown_name(profile_name, runtime.profiles, "an energy profile")
        error.param = "energy_profile"
        raise error
    if format is not None and format not in events.FORMATS:
        error = unknown_name(format, events.FORMATS, "an event format")
        error.param = "format"
        raise error
    kept = _top_k(top_k, card)
    options = Options(
        max_image_pixels=runtime.settings.max_image_pixels,
        max_events=runtime.settings.max_events,
        seed=seed,
        format=format,
        camera=camera,
    )
    decoded = await _decoded(request, card, options, runtime.settings.max_inputs)
    ran = await runtime.batcher.submit(checkpoint, [each.sample for each in decoded], ticket)
    predictions = [
        prediction(
            index,
            activity,
            card,
            each.preprocessing,
            detail=detail,
            top_k=kept,
            profile=runtime.profiles[profile_name],
            measured_mj=measured,
        )
        for index, (each, activity, measured) in enumerate(zip(decoded, ran.activities, ran.measured_mj, strict=True))
    ]
    runtime.metrics.waited(name, ran.queue_ms / 1000)
    _count(runtime.metrics, name, predictions)
    body = PredictAnswer(
        id=f"pred-{new_id()}",
        model=name,
        version=model.number,
        predictions=predictions,
        timing=Timing(
            queue_ms=ran.queue_ms,
            compute_ms=ran.compute_ms,
            total_ms=(time.perf_counter() - started) * 1000,
            batch_size=ran.batch_size,
        ),
    )
    return answer(body, only_set=True)


def _top_k(wanted: int | None, card: Card) -> int:
    classes = len(card.labels)
    if wanted is None:
        return min(DEFAULT_TOP_K, classes)
    if wanted > classes:
        raise errors.InvalidParameter(f"top_k is {wanted}, and the model has {classes} classes", param="top_k")
    return wanted


async def _decoded(request: Request, card: Card, options: Options, max_inputs: int) -> list[Decoded]:
    """Read and decode the body: a small one here, a large one in a thread, so that others are not held up."""
    kind = media_type(request)
    is_recording = options.format is not None
    if kind == "multipart/form-data":
        inputs = await read_multipart(request, is_recording=is_recording, max_inputs=max_inputs)
        return await _decode_aside(inputs, card, options)
    data = await read_body(request)

    def read() -> list[Given]:
        return read_inputs(kind, data, is_recording=is_recording, max_inputs=max_inputs)

    return await _decode_aside(read() if len(data) <= QUICK_BYTES else await asyncio.to_thread(read), card, options)


async def _decode_aside(inputs: list[Given], card: Card, options: Options) -> list[Decoded]:
    if len(inputs) == 1 and is_quick(inputs[0]):
        return decode_all(inputs, card, options)
    return await asyncio.to_thread(decode_all, inputs, card, options)


def _count(metrics: Metrics, model: str, predictions: list[Prediction]) -> None:
    for each in predictions:
        metrics.prediction(
            model,
            spikes=each.spikes.total,
            accumulates=each.energy.accumulates,
            multiply_accumulates=each.energy.multiply_accumulates,
            estimate_nj=each.energy.estimate_nj,
            profile=each.energy.profile,
        )
