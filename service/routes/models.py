"""`/v1/models`: models, their versions, and which version is the default."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract import errors
from service.http.openapi import json_body
from service.http.parameters import Name, RuntimeOf, TimeoutHeader, VersionNumber, ticket_of
from service.http.request_body import read_json
from service.http.responses import answer, failures
from service.models.bodies import (
    DefaultBody,
    Deleted,
    ModelBody,
    ModelList,
    ModelWithPrevious,
    VersionBody,
    VersionWithCard,
)
from service.models.listing import summary

router = APIRouter(tags=["models"])

_MODEL = "/v1/models/{name}"
_VERSION = "/v1/models/{name}/versions/{version}"
_UNKNOWN = (errors.ModelNotFound, errors.VersionNotFound)


@router.get(
    "/v1/models", operation_id="list_models", summary="All models", response_model=ModelList, responses=failures()
)
async def list_models(runtime: RuntimeOf) -> Response:
    """Every model of the store with its versions, sorted by name."""
    return Response(await runtime.listing.all(), media_type="application/json")


@router.get(
    _MODEL,
    operation_id="get_model",
    summary="One model",
    response_model=ModelBody,
    responses=failures(errors.ModelNotFound),
)
async def get_model(runtime: RuntimeOf, name: Name) -> Response:
    """A model and the state of each of its versions."""
    await runtime.registry.find(name)
    return Response(await runtime.listing.model(name), media_type="application/json")


@router.get(
    _VERSION,
    operation_id="get_version",
    summary="One version and its card",
    response_model=VersionWithCard,
    responses=failures(*_UNKNOWN),
)
async def get_version(runtime: RuntimeOf, name: Name, version: VersionNumber) -> Response:
    """A version and its whole card; the card is null if it cannot be read, and for a group."""
    found = (await runtime.registry.find(name, version)).versions[version]
    card = None if found.group else found.card
    return answer(VersionWithCard(**dict(summary(found, whole=True)), card=card))


@router.put(
    f"{_MODEL}/default",
    operation_id="set_default",
    summary="Promote a version, or roll back to one",
    response_model=ModelWithPrevious,
    responses=failures(
        *_UNKNOWN,
        errors.BadRequest,
        errors.InvalidJson,
        errors.TooLarge,
        errors.UnsupportedMediaType,
        errors.RequestTimeout,
        errors.DefaultChanged,
        errors.VersionNotReady,
    ),
    openapi_extra={"requestBody": json_body(DefaultBody)},
)
async def set_default(request: Request, runtime: RuntimeOf, name: Name) -> Response:
    """Make a version the default, which answers requests without a version. Running requests finish on their version.

    With `expected`, only if that version is the default now. The default survives a restart, and every replica that
    shares the store follows within seconds.
    """
    body = await read_json(request, DefaultBody)
    previous = await runtime.registry.set_default(name, body.version, expected=body.expected)
    model = await runtime.listing.model(name)
    return Response(b'%b,"previous_default_version":%d}' % (model[:-1], previous), media_type="application/json")


@router.post(
    f"{_VERSION}/load",
    operation_id="load_version",
    summary="Load a version",
    response_model=VersionBody,
    responses=failures(*_UNKNOWN, errors.Unavailable, errors.ModelFailedToLoad),
)
async def load_version(
    request: Request, runtime: RuntimeOf, name: Name, version: VersionNumber, timeout: TimeoutHeader = None
) -> Response:
    """Load a version and respond when it is ready; a version that failed before is tried again.

    After the request's timeout the response is `not_ready`, and loading continues.
    """
    try:
        async with asyncio.timeout(ticket_of(request).remaining):
            return answer(summary(await runtime.registry.load(name, version), whole=True))
    except TimeoutError:
        raise errors.Unavailable(f"{name}/{version} is still loading", param="version") from None


@router.post(
    f"{_VERSION}/unload",
    operation_id="unload_version",
    summary="Free a version's memory",
    response_model=VersionBody,
    responses=failures(*_UNKNOWN, errors.VersionInUse),
)
async def unload_version(runtime: RuntimeOf, name: Name, version: VersionNumber) -> Response:
    """Free the memory of a loaded version, which is loaded again on its next request. Not for the default."""
    return answer(summary(await runtime.registry.unload(name, version), whole=True))


@router.delete(
    _VERSION,
    operation_id="delete_version",
    summary="Delete a version",
    response_model=Deleted,
    responses=failures(*_UNKNOWN, errors.VersionInUse, errors.VersionReadOnly),
)
async def delete_version(runtime: RuntimeOf, name: Name, version: VersionNumber) -> Response:
    """Remove a version from the store for good; its number is not used again.

    Not for the default, nor for a version in a folder of the store that the service only reads.
    """
    await runtime.registry.delete(name, version)
    return answer(Deleted(name=name, version=version, object="model.version", deleted=True))
