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


async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


async def _ticket(request: Request) -> Ticket:
    ticket: Ticket = request.state.ticket
    return ticket


async def _timeout_s(
    ticket: Annotated[Ticket, Depends(_ticket)],
    x_request_timeout_ms: Annotated[
        int | None,
        Header(
            alias=TIMEOUT_HEADER,
            gt=0,
            description="Milliseconds that the caller is ready to wait; more than the maximum counts as it.",
        ),
    ] = None,
) -> float:
    return ticket.remaining


RuntimeOf = Annotated[Runtime, Depends(_runtime)]
TicketOf = Annotated[Ticket, Depends(_ticket)]
TimeoutOf = Annotated[float, Depends(_timeout_s)]
Name = Annotated[str, Path(description="A model's name.")]
VersionNumber = Annotated[int, Path(gt=0, description="A version of the model.")]
VersionQuery = Annotated[int | None, Query(gt=0, description="Version; by default the model's default version.")]
