import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contract.settings import Settings
from service.app import create_app
from service.telemetry.logs import RequestIdFilter
from tests.service.serving import Client, Serve, check

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = "first-key,second-key"


async def test_a_route_that_is_not_there_fails_like_everything_else(client: Client) -> None:
    check(await client.get("/nothing"), 404, "not_found", None)
    check(await client.get("/v1/models/"), 404, "not_found", None)
    wrong = await client.delete("/v1/models")
    check(wrong, 405, "method_not_allowed", None)
    assert wrong.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/metrics", "/v1/models/tiny-image"])
async def test_an_unknown_query_parameter_is_refused_by_every_route(client: Client, path: str) -> None:
    check(await client.get(path, params={"verbose": "1"}), 422, "invalid_parameter", "verbose")


@pytest.mark.parametrize("given", ["abc", "A-1_b.2", "x" * 128])
async def test_a_sane_request_id_comes_back(client: Client, given: str) -> None:
    for path in ("/health/live", "/nothing"):
        answer = await client.get(path, headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é", "a/b"])
async def test_another_request_id_is_replaced(client: Client, given: str) -> None:
    headers = {b"X-Request-ID": given.encode("latin-1")}
    ids = [(await client.get("/health/live", headers=headers)).headers["x-request-id"] for _ in range(2)]
    assert given not in ids
    assert len(set(ids)) == 2
    assert all(len(each) == 32 for each in ids)


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What is logged meanwhile, as `request id: message`."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{getattr(record, 'request_id', '?')}: {record.getMessage()}")

    handler = Lines()
    handler.addFilter(RequestIdFilter())
    log = logging.getLogger("service")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
    log.setLevel(level)


async def test_log_lines_carry_the_request_id_and_cannot_be_forged(client: Client, log_lines: list[str]) -> None:
    await client.get("/nothing%0Aforged", headers={"X-Request-ID": "mine"})
    [line] = log_lines
    assert line.startswith("mine: GET /nothing%0Aforged 404 ")


async def test_a_fault_of_the_service_shows_nothing_of_its_inside(tmp_path: Path, log_lines: list[str]) -> None:
    app = create_app(Settings(model_store=tmp_path, device="cpu"))

    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("secret detail")

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        answer = await client.get("/fault", headers={"X-Request-ID": "faulty"})
    check(answer, 500, "internal_error", None)
    assert answer.headers["x-request-id"] == "faulty"
    assert "secret" not in answer.text
    assert "faulty" in answer.text
    assert any("faulty: GET /fault failed" in line for line in log_lines)


async def test_without_keys_the_service_is_open(client: Client) -> None:
    assert (await client.get("/v1/models")).status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer third-key", "Basic first-key", "first-key", "Bearer first-ke", "Bearer é"],
)
async def test_with_keys_a_request_without_a_right_one_is_refused(
    store_root: Path, serve: Serve, header: str | None
) -> None:
    async with serve(store_root, api_keys=KEYS, preload=()) as client:
        headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
        for path in ("/v1/models", "/metrics", "/openapi.json", "/docs", "/nothing"):
            answer = await client.get(path, headers=headers)
            check(answer, 401, "unauthorized", None)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "key" not in answer.text.replace("KEY", "").replace("invalid API key", "")


async def test_each_key_opens_and_health_is_always_open(store_root: Path, serve: Serve) -> None:
    async with serve(store_root, api_keys=KEYS, preload=()) as client:
        for header in ("Bearer first-key", "bearer second-key"):
            assert (await client.get("/v1/models", headers={"Authorization": header})).status_code == 200
        for path in ("/health/live", "/health/ready"):
            assert (await client.get(path)).status_code == 200


async def test_keys_are_never_logged(store_root: Path, serve: Serve, log_lines: list[str]) -> None:
    async with serve(store_root, api_keys=KEYS, preload=()) as client:
        await client.get("/v1/models", headers={"Authorization": "Bearer first-key"})
        await client.get("/v1/models", headers={"Authorization": "Bearer third-key"})
    assert len(log_lines) >= 2
    assert not any("-key" in line for line in log_lines)
