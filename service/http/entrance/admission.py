"""Admission before a request's body is read, and its deadline.

Every request under `/v1/`, and those under `/v2/` for models, have a deadline until their response begins; those that
run a network also count towards the bounds of `Admission`. An upload has a deadline for each piece of its body instead,
and none afterwards. A stream of live events has limits of its own. The server calls `end_early` for a client that
disconnects.
"""

from collections.abc import Mapping
from typing import Any

from contract.settings import Settings
from service.http.connections import client_of
from service.http.entrance.body_limit import is_live_stream, is_upload
from service.http.entrance.passage import Headers, Passage
from service.inference.admission import Reason, Ticket
from service.runtime import Runtime

TIMEOUT_HEADER = "X-Request-Timeout-Ms"

PREDICT = "/v1/models/{name}/predict"
INFER = "/v2/models/{name}/infer"

_WITH_TICKET = ("/v1/", "/v2/models/", "/v2/repository/")


def needs_ticket(path: str) -> bool:
    """Whether a request for this path has a ticket."""
    return path.startswith(_WITH_TICKET)


def ticket_for(passage: Passage, runtime: Runtime, *, runs_a_network: bool) -> Ticket:
    """The ticket of a request; `Overloaded` if there is no room for it, or `ShuttingDown`."""
    scope, seconds = passage.scope, _seconds(passage.headers, runtime.settings)
    length = passage.headers.get("content-length", "")
    passage.is_live = is_live_stream(scope)
    passage.stall = seconds if is_upload(scope) else None
    is_bounded = passage.stall is None and not passage.is_live
    return runtime.predictor.admission.request(
        seconds=seconds if is_bounded else float("inf"),
        announced=int(length) if length.isdecimal() and is_bounded else 0,
        places=runs_a_network and not passage.is_live,
        client=client_of(scope["client"][0]) if scope.get("client") else "",
    )


def end_early(scope: Mapping[str, Any], reason: Reason) -> bool:
    """End the request of this scope, at whatever stage; False if it has no ticket."""
    ticket: Ticket | None = scope.get("state", {}).get("ticket")
    if ticket is None:
        return False
    ticket.end(reason)
    return True


def _seconds(headers: Headers, settings: Settings) -> float:
    """The request's time; an invalid header is left to the route to refuse."""
    header = headers.get(TIMEOUT_HEADER.lower())
    requested = int(header) if header and header.isascii() and header.isdecimal() and len(header) < 16 else 0
    return min(requested or settings.request_timeout_ms, settings.max_request_timeout_ms) / 1000
