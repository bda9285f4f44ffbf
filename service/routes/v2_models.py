"""`/v2`: the server, its models and the model repository by the Open Inference Protocol."""

import json
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract import errors
from service.http.failures import OpenInferenceError
from service.http.openapi import json_body
from service.http.parameters import Name, RuntimeOf, TimeoutHeader, VersionNumber, ticket_of
from service.http.request_body import read_body
from service.http.responses import failures
from service.open_inference import metadata, repository
from service.open_inference.bodies import (
    IndexBody,
    IndexEntry,
    ModelMetadata,
    ModelReady,
    RepositoryBody,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from service.parsing import B, parse_json, validate_body

router = APIRouter(tags=["open inference protocol"])

_MODEL = "/v2/models/{name}"
_VERSION = "/v2/models/{name}/versions/{version}"
_REPOSITORY = "/v2/repository/models/{name}"


def _failures(*kinds: type[errors.ServiceError]) -> dict[int | str, dict[str, Any]]:
    return failures(*kinds, body=OpenInferenceError)


_UNKNOWN = (errors.ModelNotFound, errors.VersionNotFound)
_OF_MODEL = _failures(*_UNKNOWN, errors.Unavailable, errors.ModelFailedToLoad)
_OF_BODY = (errors.InvalidJson, errors.TooLarge, errors.RequestTimeout)
_OPTIONAL = {"required": False}


@router.get("/v2", operation_id="v2_server", summary="The server", response_model=ServerMetadata, responses=_failures())
async def server(request: Request) -> Response:
    """The server's name, its version, and the extensions of the protocol that it has."""
    return _json(metadata.server_metadata(request.app.version))


@router.get(
    "/v2/health/live",
    operation_id="v2_live",
    summary="Is the process alive?",
    response_model=ServerLive,
    responses=_failures(),
)
async def live() -> Response:
    """200 while the process is alive."""
    return _json({"live": True})


@router.get(
    "/v2/health/ready",
    operation_id="v2_ready",
    summary="Can the service answer?",
    response_model=ServerReady,
    responses=_failures(errors.Unavailable, errors.ShuttingDown),
)
async def ready(runtime: RuntimeOf) -> Response:
    """200 under the conditions of `/health/ready`, otherwise 503."""
    await runtime.readiness.check()
    return _json({"ready": True})


@router.get(
    _MODEL,
    operation_id="v2_model",
    summary="Inputs and outputs of a model",
    response_model=ModelMetadata,
    responses=_OF_MODEL,
)
async def model(runtime: RuntimeOf, name: Name) -> Response:
    """The versions of a model, and the tensors of its default version."""
    return _json(await metadata.model_metadata(runtime.registry, name, None))


@router.get(
    _VERSION,
    operation_id="v2_version",
    summary="Inputs and outputs of a version",
    response_model=ModelMetadata,
    responses=_OF_MODEL,
)
async def version(runtime: RuntimeOf, name: Name, version: VersionNumber) -> Response:
    """The versions of a model, and the tensors of this one."""
    return _json(await metadata.model_metadata(runtime.registry, name, version))


@router.get(
    f"{_MODEL}/ready",
    operation_id="v2_model_ready",
    summary="Is a model in memory?",
    response_model=ModelReady,
    responses=_OF_MODEL,
)
async def model_ready(runtime: RuntimeOf, name: Name) -> Response:
    """200 if the default version is in memory, otherwise 503. A version that is not loads on its first request."""
    await metadata.check_model_ready(runtime.registry, name, None)
    return _json({"name": name, "ready": True})


@router.get(
    f"{_VERSION}/ready",
    operation_id="v2_version_ready",
    summary="Is a version in memory?",
    response_model=ModelReady,
    responses=_OF_MODEL,
)
async def version_ready(runtime: RuntimeOf, name: Name, version: VersionNumber) -> Response:
    """200 if the version is in memory, otherwise 503. A version that is not loads on its first request."""
    await metadata.check_model_ready(runtime.registry, name, version)
    return _json({"name": name, "ready": True})


@router.post(
    "/v2/repository/index",
    operation_id="v2_index",
    summary="All versions in the model store",
    response_model=list[IndexEntry],
    responses=_failures(*_OF_BODY),
    openapi_extra={"requestBody": json_body(IndexBody) | _OPTIONAL},
)
async def index(request: Request, runtime: RuntimeOf) -> Response:
    """Every version and its state, sorted by name; with `ready` those in memory."""
    body = await _body(request, IndexBody)
    return Response(await repository.index_json(runtime.registry, ready=body.ready), media_type="application/json")


@router.post(
    f"{_REPOSITORY}/load",
    operation_id="v2_load",
    summary="Load a model",
    response_class=Response,
    responses=_failures(*_OF_BODY, *_UNKNOWN, errors.Unavailable, errors.ModelFailedToLoad),
    openapi_extra={"requestBody": json_body(RepositoryBody) | _OPTIONAL},
)
async def load(request: Request, runtime: RuntimeOf, name: Name, timeout: TimeoutHeader = None) -> Response:
    """Load the default version, or the one in the parameter `version`, and respond when it is ready."""
    body = await _body(request, RepositoryBody)
    await repository.load_model(runtime.registry, name, body.parameters, seconds=ticket_of(request).remaining)
    return Response()


@router.post(
    f"{_REPOSITORY}/unload",
    operation_id="v2_unload",
    summary="Free a model's memory",
    response_class=Response,
    responses=_failures(*_OF_BODY, *_UNKNOWN, errors.VersionInUse),
    openapi_extra={"requestBody": json_body(RepositoryBody) | _OPTIONAL},
)
async def unload(request: Request, runtime: RuntimeOf, name: Name) -> Response:
    """Free the memory of the version in the parameter `version`. The default version stays: 409."""
    body = await _body(request, RepositoryBody)
    await repository.unload_model(runtime.registry, name, body.parameters)
    return Response()


async def _body(request: Request, kind: type[B]) -> B:
    """The request's JSON; an empty body is an empty object."""
    return validate_body(parse_json(await read_body(request) or b"{}"), kind)


def _json(body: Any) -> Response:
    return Response(json.dumps(body), media_type="application/json")
