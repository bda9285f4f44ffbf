"""Parameters that many routes share."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Path, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, PositiveInt, TypeAdapter, ValidationError
from starlette.requests import Request

from contract.errors import InvalidParameter
from service.http.middleware.admission import TIMEOUT_HEADER
from service.inference.admission import Ticket
from service.parsing import explain, unknown_name
from service.runtime import Runtime

Q = TypeVar("Q", bound=BaseModel)

_TIMEOUT: TypeAdapter[int] = TypeAdapter(PositiveInt)


async def refuse_unknown_query(request: Request) -> None:
    """Refuse a query parameter that the route does not have, or has twice."""
    route = request.scope["route"]
    _refuse_unknown(request, [field.alias for field in route.dependant.query_params], _deep_objects(route))


def read_query(request: Request, model: type[Q]) -> Q:
    """The query as `model`; `InvalidParameter` for what it does not have, has twice, or cannot use."""
    if not request.scope["query_string"]:
        return model()
    _refuse_unknown(request, list(model.model_fields))
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_input=False)) from error


def check_timeout(request: Request) -> None:
    """`InvalidParameter` for a `TIMEOUT_HEADER` that is no time."""
    given = request.headers.get(TIMEOUT_HEADER)
    if given is not None:
        try:
            _TIMEOUT.validate_python(given)
        except ValidationError as error:
            [problem] = error.errors(include_url=False, include_input=False)
            raise explain([{**problem, "loc": (TIMEOUT_HEADER,)}]) from error


def _deep_objects(route: APIRoute) -> list[str]:
    """The parameters that come as `name[key]=value`, which FastAPI does not know and the document does."""
    more = (route.openapi_extra or {}).get("parameters", [])
    return [parameter["name"] for parameter in more if parameter.get("style") == "deepObject"]


def _refuse_unknown(request: Request, known: list[str], deep: Sequence[str] = ()) -> None:
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known and name.partition("[")[0] not in deep:
            raise unknown_name(name, known, "a query parameter of this route")
        if given.count(name) > 1:
            raise InvalidParameter(f"{name!r} is given {given.count(name)} times", param=name)


def runtime_of(request: Request) -> Runtime:
    """The parts of the service. Called by `predict` itself: each dependency would cost it some 40 µs."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def ticket_of(request: Request) -> Ticket:
    """The request's ticket, which knows its deadline."""
    ticket: Ticket = request.state.ticket
    return ticket


async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


RuntimeOf = Annotated[Runtime, Depends(_runtime)]
# What is here for the check and the documentation: the ticket has read the header already.
TimeoutHeader = Annotated[
    int | None,
    Header(
        alias=TIMEOUT_HEADER,
        gt=0,
        description="Milliseconds that the caller is ready to wait; more than the maximum counts as it.",
    ),
]
Name = Annotated[str, Path(description="A model's name.")]
VersionNumber = Annotated[int, Path(gt=0, description="A version of the model.")]
VersionQuery = Annotated[int | None, Query(gt=0, description="Version; by default the model's default version.")]
