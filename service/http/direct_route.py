"""`DirectRoute`: a route that FastAPI documents but does not find, and does not run."""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, get_type_hints

from fastapi import routing
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from service.http.parameters import check_timeout, read_query, refuse_unknown_query


class DirectRoute(APIRoute):
    """Calls its endpoint with the request, the parameters in its path, and its query as a pydantic model.

    The `Entrance` finds it before FastAPI sees the request, and so skips what FastAPI does for each: its middleware,
    its router, dependencies, the reading of one parameter after another, and three exit stacks; `benchmarks.overhead`
    measures the gain. It replaces the dependency `refuse_unknown_query` and the timeout's header. Path parameters are
    text, the query is the parameter `query`, and the endpoint returns the response.

    Its constructor raises `TypeError` for a dependency or a parameter that it would skip. An application that includes
    the route calls `direct_routes`, which does the same for the dependencies that were added on the way.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        _refuse_dependencies(self.path, self.dependant)
        hints, names = get_type_hints(endpoint), self.param_convertors
        skipped = signature(endpoint).parameters.keys() - {"request", "query", "timeout", *names}
        skipped |= {name for name in names if hints[name] is not str}
        if skipped:
            raise TypeError(f"the direct route {path} would not read {', '.join(sorted(skipped))}")
        self._query: type[BaseModel] = hints["query"]

    def is_for(self, scope: Scope) -> bool:
        """Whether a request is for this route."""
        return scope["method"] in (self.methods or ()) and self.path_regex.match(scope["path"]) is not None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the query, call the endpoint and send its response."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # responds with the allowed methods
            return
        found = self.path_regex.match(scope["path"])
        scope["path_params"] = found.groupdict() if found else {}
        request = Request(scope, receive, send)
        query = read_query(request, self._query)
        check_timeout(request)
        response: Response = await self.endpoint(request, query=query, **request.path_params)
        await response(scope, receive, send)


def direct_routes(routes: Sequence[BaseRoute]) -> list[DirectRoute]:
    """The direct routes among these; `TypeError` if the application adds a dependency that one of them would skip."""
    contexts = getattr(routing, "iter_route_contexts", None)
    if contexts is None:  # an older FastAPI constructs the route again, with these dependencies
        return [route for route in routes if isinstance(route, DirectRoute)]
    found = [context for context in contexts(routes) if isinstance(context.original_route, DirectRoute)]
    for context in found:
        _refuse_dependencies(context.path, context.dependant)
    return [context.original_route for context in found]


def _refuse_dependencies(path: str, dependant: Dependant) -> None:
    for dependency in dependant.dependencies:
        if dependency.call is not refuse_unknown_query:
            raise TypeError(f"the direct route {path} would skip the dependency {dependency.call}")
