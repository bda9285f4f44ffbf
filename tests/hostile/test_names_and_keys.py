"""Names that lead elsewhere, parameters without sense, and keys that are almost right."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.hostile.refusals import GOOD, IMAGE, PNG, check_refused, check_still_answers, png, refused
from tests.hostile.server import Server, answer_on, code_of, started
from tests.service.serving import Client, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "k3y-Zm9vYmFy-0123456789abcdef"
NEAR = [
    KEY[:-1],
    KEY + "x",
    KEY.upper(),
    KEY.replace("0", "O"),
    KEY[1:],
    KEY[::-1],
    f"{KEY},{KEY}",
    f"{KEY} {KEY}",
    f"'{KEY}'",
    KEY.replace("k", "\u043a"),
    KEY.replace("e", "\u0435"),
    "k3y-Zm9vYmFy-0123456789abcdeg",
    KEY * 300,
]


@pytest.mark.parametrize(
    "name",
    [
        "%00",
        "tiny-image%00",
        "tiny-image%0a",
        "tiny-image%20",
        "x" * 300,
        "x" * 30_000,
        "TINY-IMAGE",
        ".lock",
        ".hidden",
        "tiny-im\u0430ge",
        "t\u0456ny-image",
        "tiny\u2010image",
        "\uff54iny-image",
        "tiny-image\u200b",
        "%ff%fe",
        "%ed%a0%80",
        "-",
        "*",
        "con",
        "tiny-image;x",
        "tiny-image,tiny-direct",
        "%7Etiny-image",
        "...",
        "~",
    ],
)
async def test_a_name_that_is_no_models_is_not_found(client: Client, name: str) -> None:
    for method, path in (
        ("POST", "/predict"),
        ("GET", ""),
        ("GET", "/versions/1"),
        ("DELETE", "/versions/1"),
        ("POST", "/versions/1/load"),
    ):
        url = f"/v1/models/{name}{path}"
        await refused(client, url, 404, "model_not_found", "name", method=method, content=png(), headers=PNG)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/../predict",
        "/v1/models/..%2f..%2fetc%2fpasswd/predict",
        "/v1/models/%2e%2e%2f/predict",
        "/v1/models/%2e%2e/predict",
        "/v1/models/%252e%252e%252f/predict",
        "/v1/models/..;/predict",
        "/v1/models//predict",
        "/v1/models/tiny-image/../../predict",
        "/v1/models/tiny-image/./predict",
        "/v1/models/%5c..%5c/predict",
        "//v1/models/tiny-image/predict",
        "/v1/models/tiny-image/predict/",
        "/v1/models/tiny-image\\predict",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/models/tiny-image/versions/1/../../default",
    ],
)
async def test_a_path_that_leads_elsewhere_is_not_found(server: Server, path: str) -> None:
    """On a plain socket, for clients tidy paths up."""
    request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\nx"
    status, code = code_of(server.send([request.encode()]))
    assert (status, code) in ((404, "not_found"), (404, "model_not_found"), (405, "method_not_allowed"))
    server.check_still_answers()


@pytest.mark.parametrize("version", ["0", "-1", "1.5", "1e0", "1x", "\u0661x", "%00", "latest", "9" * 5000, "%252e"])
async def test_a_version_that_is_no_number_is_refused(client: Client, version: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/load"), ("POST", "/unload")):
        answer = await client.request(method, f"/v1/models/tiny-image/versions/{version}{path}")
        assert answer.status_code in (404, 422), answer.text
        check_refused(answer, answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"])
    await check_still_answers(client)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("top_k=0", "top_k"),
        ("top_k=-1", "top_k"),
        ("top_k=1000000000", "top_k"),
        (f"top_k={10**30}", "top_k"),
        ("top_k=1.0x", "top_k"),
        ("top_k=", "top_k"),
        ("top_k=True", "top_k"),
        (f"top_k={'9' * 5000}", "top_k"),
        ("top_k=NaN", "top_k"),
        (f"seed={2**63}", "seed"),
        ("seed=1e999", "seed"),
        (f"version={10**9}", None),
        ("version=x", "version"),
        ("energy_profile=", "energy_profile"),
        ("energy=", "energy"),
        ("energy_profile=%00", "energy_profile"),
        ("detail=", "detail"),
        ("detail=layers%00", "detail"),
        ("topk=1", "topk"),
        ("TOP_K=1", "TOP_K"),
        ("top_k%00=1", "top_k\x00"),
        ("top_k[]=1", "top_k[]"),
        ("=1", ""),
        ("x", "x"),
        ("top_k=1&top_k=1", "top_k"),
        ("__proto__=1", "__proto__"),
        ("top_\u043a=1", "top_\u043a"),
        ("x" * 3000, "x" * 100 + "..."),
    ],
)
async def test_a_parameter_without_sense_is_named(client: Client, query: str, param: str | None) -> None:
    if param is None:
        await refused(client, f"{IMAGE}?{query}", 404, "version_not_found", "version", json=GOOD)
    else:
        await refused(client, f"{IMAGE}?{query}", 422, "invalid_parameter", param, json=GOOD)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Every line that any logger writes meanwhile, with the arguments it was given."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith("http"):  # the client's own
                lines.append(f"{record.getMessage()} {record.args} {record.exc_text or ''}")

    root = logging.getLogger()
    handler, level = Lines(), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


async def test_keys_that_are_almost_right_are_refused_and_no_key_is_logged(
    tiny_store_root: Path, logged: list[str]
) -> None:
    async with serving(tiny_store_root, api_keys=KEY, preload=("tiny-image",)) as client:
        for scheme in ("Bearer ", "bearer\t", "Basic ", "Token ", ""):
            for key in NEAR if scheme == "Bearer " else [KEY]:
                answer = await client.post(IMAGE, json=GOOD, headers={b"Authorization": f"{scheme}{key}".encode()})
                assert KEY[:12] not in check_refused(answer, 401, "unauthorized")
        for headers in ({}, {"X-API-Key": KEY}, {"Cookie": f"key={KEY}"}, {"Proxy-Authorization": f"Bearer {KEY}"}):
            check_refused(await client.post(IMAGE, json=GOOD, headers=headers), 401, "unauthorized")
        asked = await client.post(f"{IMAGE}?api_key={KEY}", json=GOOD)
        assert KEY not in check_refused(asked, 401, "unauthorized")
        right = {"Authorization": f"Bearer {KEY}"}
        assert (await client.post(IMAGE, json=GOOD, headers=right)).status_code == 200
        check_refused(
            await client.post(f"{IMAGE}?top_k=0", json=GOOD, headers=right), 422, "invalid_parameter", "top_k"
        )
    assert len([line for line in logged if "POST /v1/models/tiny-image/predict 401" in line]) >= len(NEAR) + 4
    assert not [line for line in logged if any(part in line for part in (KEY, KEY[:12], KEY.upper()[:12], KEY[::-1]))]


async def test_no_key_reaches_the_log_of_the_process(tiny_store_root: Path, tmp_path: Path) -> None:
    settings = {"MODEL_STORE": str(tiny_store_root), "API_KEYS": KEY, "LOG_LEVEL": "debug", "PRELOAD": "tiny-image"}
    log = tmp_path / "log"
    with started(log, **settings) as server:
        for key in (KEY, *NEAR[:3]):
            httpx.get(f"http://127.0.0.1:{server.port}/v1/models", headers={"Authorization": f"Bearer {key}"})
        with server.connect() as connection:  # a head that is no HTTP, with the key in it
            connection.sendall(f"GET / HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nno header\r\n\r\n".encode())
            assert code_of(answer_on(connection)) == (400, "bad_request")
    text = log.read_text()
    assert "GET /v1/models 200" in text
    assert "GET /v1/models 401" in text
    assert KEY[:12] not in text
