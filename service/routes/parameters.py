"""Parameters that many routes share."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query
from starlette.requests import Request

from service.admission import Ticket
from service.errors import InvalidParameter
from service.failures import unknown_name
from service.runtime import Runtime
from service.waiting import TIMEOUT_HEADER


async def refuse_unknown_query(request: Request) -> None:
    """Refuse a query parameter that the route does not have, or has twice."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
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
