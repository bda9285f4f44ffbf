from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from contract.errors import ServiceError
from contract.settings import Settings
from service.app import create_app
from service.http.direct_route import DirectRoute, direct_routes
from service.http.failures import answer_service_error
from service.http.parameters import TimeoutHeader, refuse_unknown_query
from tests.service.serving import Client, serving

PREDICT = "/v1/models/tiny-image/predict"
PIXELS = {"inputs": [{"pixels": [[200] * 8] * 8}]}


class Options(BaseModel):
    count: int = 1


async def endpoint(
    request: Request, name: str, query: Annotated[Options, Query()], timeout: TimeoutHeader = None
) -> Response:
    return JSONResponse([name, query.count])


async def another_dependency() -> None:
    """One that would be skipped."""


def application(*more: Any, on_app: Sequence[Any] = ()) -> FastAPI:
    router = APIRouter(route_class=DirectRoute)
    router.post("/things/{name}")(endpoint)
    app = FastAPI(exception_handlers={ServiceError: answer_service_error}, dependencies=on_app)
    app.include_router(router, dependencies=[Depends(refuse_unknown_query), *more])
    return app


def client() -> TestClient:
    return TestClient(application())


def test_the_endpoint_gets_its_path_and_its_query() -> None:
    assert client().post("/things/a?count=3").json() == ["a", 3]


@pytest.mark.parametrize(
    ("query", "headers", "param"),
    [("?cuont=3", {}, "cuont"), ("?count=x", {}, "count"), ("", {"X-Request-Timeout-Ms": "0"}, "X-Request-Timeout-Ms")],
)
def test_what_fastapi_would_refuse_is_refused(query: str, headers: dict[str, str], param: str) -> None:
    response = client().post(f"/things/a{query}", headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (422, param)


def test_another_method_is_told_which_is_allowed() -> None:
    assert client().get("/things/a").status_code == 405


def test_the_document_has_the_route_with_its_parameters() -> None:
    operation = client().get("/openapi.json").json()["paths"]["/things/{name}"]["post"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["name", "count", "X-Request-Timeout-Ms"]


def test_a_dependency_that_is_added_where_the_router_is_included_is_an_error() -> None:
    added = Depends(another_dependency)
    for app in (application(added), application(on_app=[added])):
        with pytest.raises(TypeError, match="another_dependency"):
            direct_routes(app.routes)
    assert [route.path for route in direct_routes(application().routes)] == ["/things/{name}"]


def test_the_service_adds_no_dependency_that_its_prediction_route_would_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    create_app(Settings.model_construct())
    monkeypatch.setattr("service.app.refuse_unknown_query", another_dependency)
    with pytest.raises(TypeError, match=r"/predict would skip .*another_dependency"):
        create_app(Settings.model_construct())


def test_a_dependency_that_would_be_skipped_is_an_error_in_the_endpoint() -> None:
    async def depends(request: Request, query: Options, more: Annotated[None, Depends(another_dependency)]) -> None: ...

    with pytest.raises(TypeError, match="another_dependency"):
        DirectRoute("/things", depends, methods=["POST"])


def test_a_parameter_that_would_not_be_read_is_an_error() -> None:
    async def reads_more(request: Request, number: int, query: Annotated[Options, Query()]) -> None: ...

    with pytest.raises(TypeError, match="would not read number"):
        DirectRoute("/things/{number}", reads_more, methods=["POST"])


async def predictions(client: Client) -> list[tuple[int, Any]]:
    """Responses of the prediction route to good and bad requests, without what differs each time."""
    found = []
    for query, headers in (
        ("", {}),
        ("?top_k=2&detail=layers&version=1&seed=3", {}),
        ("?topk=2", {}),
        ("?top_k=2&top_k=3", {}),
        ("?top_k=0", {}),
        ("?version=0", {}),
        ("?detail=all", {}),
        ("?seed=-1", {}),
        ("?top_k=11", {}),
        ("", {"X-Request-Timeout-Ms": "0"}),
        ("", {"X-Request-Timeout-Ms": "soon"}),
        ("", {"X-Request-Timeout-Ms": "60000"}),
    ):
        answer = await client.post(PREDICT + query, json=PIXELS, headers=headers)
        body = answer.json()
        found.append((answer.status_code, body.get("predictions") or body))
    wrong_method = await client.get(PREDICT)
    return [*found, (wrong_method.status_code, wrong_method.json())]


async def test_fastapi_would_give_the_same_responses(tiny_store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tiny_store_root) as client:
        direct = await predictions(client)
        monkeypatch.setattr(DirectRoute, "is_for", lambda self, scope: False)
        monkeypatch.setattr(DirectRoute, "handle", APIRoute.handle)
        assert await predictions(client) == direct
    assert [status for status, _ in direct] == [200, 200, *[422] * 9, 200, 405]
