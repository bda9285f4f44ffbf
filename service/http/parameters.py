"""Parameters that many routes share, and how queries are read."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Path, Query
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, PositiveInt, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection, Request

from contract.errors import InvalidParameter
from service.http.entrance.admission import TIMEOUT_HEADER
from service.inference.admission import Ticket
from service.parsing import explain, unknown_name
from service.runtime import Runtime

Q = TypeVar("Q", bound=BaseModel)

MAX_PARAMETERS = 64  # in a query; no route has as many

_TIMEOUT: TypeAdapter[int] = TypeAdapter(PositiveInt)


async def refuse_unknown_query(request: Request) -> None:
    """Refuse a query parameter that the route does not have, or that is repeated."""
    route = request.scope["route"]
    query = query_model(route.dependant)
    known = [field.alias for field in route.dependant.query_params] if query is None else list(query[1].model_fields)
    _refuse_unknown(request, known, _deep_objects(route))


def query_model(dependant: Dependant) -> tuple[str, type[BaseModel]] | None:
    """Name and class of the model that declares an endpoint's whole query; None if there is no such model."""
    if len(dependant.query_params) == 1:
        [field] = dependant.query_params
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            return field.name, model
    return None


def read_query(request: HTTPConnection, model: type[Q]) -> Q:
    """The query as `model`; `InvalidParameter` for unknown, repeated and invalid parameters."""
    if not request.scope["query_string"]:
        default: Q = _without_query(model)
        return default
    _refuse_unknown(request, list(model.model_fields))
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_input=False)) from error


@cache
def _without_query(model: type[BaseModel]) -> Any:
    return model()


def check_timeout(request: Request) -> None:
    """`InvalidParameter` for a `TIMEOUT_HEADER` that is not a positive integer."""
    header = request.headers.get(TIMEOUT_HEADER)
    if header is not None:
        try:
            _TIMEOUT.validate_python(header)
        except ValidationError as error:
            [problem] = error.errors(include_url=False, include_input=False)
            raise explain([{**problem, "loc": (TIMEOUT_HEADER,)}]) from error


def _deep_objects(route: APIRoute) -> list[str]:
    """The parameters written as `name[key]=value`, which only the document describes."""
    more = (route.openapi_extra or {}).get("parameters", [])
    return [parameter["name"] for parameter in more if parameter.get("style") == "deepObject"]


def _refuse_unknown(request: HTTPConnection, known: list[str], deep: Sequence[str] = ()) -> None:
    if request.scope["query_string"].count(b"&") >= MAX_PARAMETERS:
        raise InvalidParameter(f"the query has more than {MAX_PARAMETERS} parameters")
    names = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in names.items():
        if name not in known and name.partition("[")[0] not in deep:
            raise unknown_name(name, known, "a query parameter of this route")
        if count > 1:
            raise InvalidParameter(f"{name!r} occurs {count} times", param=name)


def runtime_of(request: HTTPConnection) -> Runtime:
    """The parts of the service. Direct routes call this; as a dependency it would take some 40 µs."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def ticket_of(request: Request) -> Ticket:
    """The request's ticket, with its deadline."""
    ticket: Ticket = request.state.ticket
    return ticket


async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


RuntimeOf = Annotated[Runtime, Depends(_runtime)]
# For validation and the document only: the ticket is made from the header before.
TimeoutHeader = Annotated[
    int | None,
    Header(
        alias=TIMEOUT_HEADER,
        gt=0,
        description="Milliseconds that the request may take; values above the maximum are lowered to it.",
    ),
]
Name = Annotated[str, Path(description="A model's name.")]
VersionNumber = Annotated[int, Path(gt=0, description="A version of the model.")]
VersionQuery = Annotated[int | None, Query(gt=0, description="Version; by default the model's default version.")]
