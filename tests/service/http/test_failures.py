"""Failures that no route has of its own."""

from pathlib import Path

import httpx
import pytest

from contract.settings import Settings
from service.app import create_app
from tests.service.serving import Client, check

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_route_that_is_not_there_fails_like_everything_else(client: Client) -> None:
    check(await client.get("/nothing"), 404, "not_found", None)
    check(await client.get("/v1/models/"), 404, "not_found", None)
    wrong = await client.delete("/v1/models")
    check(wrong, 405, "method_not_allowed", None)
    assert wrong.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/metrics", "/v1/models/tiny-image"])
async def test_an_unknown_query_parameter_is_refused_by_every_route(client: Client, path: str) -> None:
    check(await client.get(path, params={"verbose": "1"}), 422, "invalid_parameter", "verbose")


async def test_a_fault_of_the_service_shows_nothing_of_its_inside(tmp_path: Path, log_lines: list[str]) -> None:
    app = create_app(Settings(model_store=tmp_path, device="cpu"))

    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("secret detail")

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        answer = await client.get("/fault", headers={"X-Request-ID": "faulty"})
    check(answer, 500, "internal_error", None)
    assert answer.headers["x-request-id"] == "faulty"
    assert "secret" not in answer.text
    assert "faulty" in answer.text
    assert any("faulty: GET /fault failed" in line for line in log_lines)
