"""Keys: who may call, and that no key is logged."""

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from service.http.entrance.authentication import KEY_PREFIX, Authentication
from tests.service.serving import Client, Serve, check

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = "first-key,second-key"


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
        for path in ("/v1/models", "/metrics", "/openapi.json", "/redoc", "/nothing"):
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


async def test_a_browser_sends_its_key_as_a_subprotocol_of_a_websocket() -> None:
    keys = Authentication(["first-key", "sec?ond~key>"])

    def number(offered: str) -> int | None:
        return keys.key_of({"sec-websocket-protocol": offered})

    for place, key in enumerate((b"first-key", b"sec?ond~key>")):
        encoded = urlsafe_b64encode(key).decode()
        assert number(f"stl-snn, {KEY_PREFIX}{encoded.rstrip('=')}") == place
        assert number(f"{KEY_PREFIX}{encoded},stl-snn") == place
    for wrong in ("", "stl-snn", KEY_PREFIX, f"{KEY_PREFIX}first-key", f"{KEY_PREFIX}\xe9", f"{KEY_PREFIX}Zmlyc3Qta2V"):
        assert number(wrong) is None
    offered = KEY_PREFIX + urlsafe_b64encode(b"first-key").decode()
    headers = {"authorization": "Bearer third-key", "sec-websocket-protocol": offered}
    assert keys.key_of(headers) is None
