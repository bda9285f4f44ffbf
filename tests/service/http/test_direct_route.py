from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from contract.errors import ServiceError
from service.http.direct_route import DirectRoute
from service.http.failures import answer_service_error
from service.http.parameters import TimeoutHeader, refuse_unknown_query


class Options(BaseModel):
    count: int = 1


async def endpoint(
    request: Request, name: str, query: Annotated[Options, Query()], timeout: TimeoutHeader = None
) -> Response:
    return JSONResponse([name, query.count])


async def another_dependency() -> None:
    """One that would be skipped."""


def client(*more: Any) -> TestClient:
    router = APIRouter(route_class=DirectRoute)
    router.post("/things/{name}")(endpoint)
    app = FastAPI(exception_handlers={ServiceError: answer_service_error})
    app.include_router(router, dependencies=[Depends(refuse_unknown_query), *more])
    return TestClient(app)


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


def test_a_dependency_of_the_including_router_that_would_be_skipped_fails_the_first_request() -> None:
    with pytest.raises(TypeError, match="another_dependency"):
        client(Depends(another_dependency)).post("/things/a")


def test_a_dependency_that_would_be_skipped_is_an_error_in_the_endpoint() -> None:
    async def depends(request: Request, query: Options, more: Annotated[None, Depends(another_dependency)]) -> None: ...

    with pytest.raises(TypeError, match="another_dependency"):
        DirectRoute("/things", depends, methods=["POST"])


def test_a_parameter_that_would_not_be_read_is_an_error() -> None:
    async def reads_more(request: Request, number: int, query: Annotated[Options, Query()]) -> None: ...

    with pytest.raises(TypeError, match="would not read number"):
        DirectRoute("/things/{number}", reads_more, methods=["POST"])
