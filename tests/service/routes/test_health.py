import logging
from pathlib import Path

import httpx
import pytest

from contract.settings import Settings
from service.app import create_app
from tests.service.serving import Client, Serve

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_service_with_its_models_loaded_is_live_and_ready(client: Client) -> None:
    live = await client.get("/health/live")
    ready = await client.get("/health/ready")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_not_ready_without_a_model_store_and_still_live(tmp_path: Path) -> None:
    app = create_app(Settings(model_store=tmp_path / "missing", device="cpu"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["error"]["code"] == "not_ready"
        assert ready.headers["retry-after"] == "1"
        assert str(tmp_path) not in ready.text
        assert (await client.get("/health/live")).status_code == 200


async def test_a_model_that_is_loaded_at_start_holds_readiness_back(store_root: Path, serve: Serve) -> None:
    app = create_app(Settings(model_store=store_root, device="cpu", preload=("tiny-image", "not-there")))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert "not-there" in ready.json()["error"]["message"]


async def test_a_probe_that_succeeds_is_logged_at_debug_only(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "service.http.entrance"):
        await client.get("/health/live")
        await client.get("/v1/models")
    levels = {record.getMessage().split()[1]: record.levelno for record in caplog.records if " 200 " in record.message}
    assert levels == {"/health/live": logging.DEBUG, "/v1/models": logging.INFO}
