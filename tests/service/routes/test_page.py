"""The page's files: who gets them, with which headers, and that they are those that were fetched."""

import hashlib
import json
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from contract.settings import Settings
from service.app import create_app
from service.routes.page import FOLDER

VENDOR = FOLDER / "vendor"
MODULES = sorted(path for path in FOLDER.rglob("*.js") if VENDOR not in path.parents)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings.model_construct(api_keys=None))


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/page/style/base.css", "/page/icon.svg", "/docs"])
async def test_a_file_comes_with_a_strict_policy_an_etag_and_no_cookie(app: FastAPI, path: str) -> None:
    async with client_of(app) as client:
        answer = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (answer.status_code, again.status_code, again.content) == (200, 304, b"")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "script-src" not in policy
    assert ("unsafe" in policy) == (path == "/docs")  # for Swagger UI's styles
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    assert "set-cookie" not in answer.headers


async def test_the_page_is_small_and_everything_that_it_names_is_there(app: FastAPI) -> None:
    total = 0
    async with client_of(app) as client:
        paths = {"/"} | {f"/page/{path.relative_to(FOLDER)}" for path in MODULES if path.parent != FOLDER / "docs"}
        paths |= set(re.findall(r'"(/page/[^"]+)"', (FOLDER / "index.html").read_text("utf-8")))
        paths.add("/page/vendor/htm-3.1.1/standalone.module.js")
        for path in paths:
            answer = await client.get(path, headers={"Accept-Encoding": "gzip"})
            assert answer.status_code == 200, path
            total += int(answer.headers["content-length"])
        for path in re.findall(r'"(/page/[^"]+)"', (FOLDER / "docs" / "index.html").read_text("utf-8")):
            assert (await client.get(path)).status_code == 200, path
        for name in ("fetch.py", "../app.js", "vendor/packages.json", "%2e%2e/routes/page.py"):
            assert (await client.get(f"/page/{name}")).status_code == 404
    assert total < 150_000


async def test_the_page_needs_no_key_and_the_api_does() -> None:
    settings = Settings.model_construct(api_keys=None)
    object.__setattr__(settings, "keys", lambda: ("secret",))
    async with client_of(create_app(settings)) as client:
        for path in ("/", "/docs", "/page/app.js"):
            assert (await client.get(path)).status_code == 200
        for path in ("/v1/models", "/openapi.json", "/metrics", "/pages", "/docs/x", "/page"):
            assert (await client.get(path)).status_code == 401


async def test_the_page_can_be_turned_off_and_the_documents_stay() -> None:
    async with client_of(create_app(Settings.model_construct(console="off"))) as client:
        for path in ("/", "/page/app.js", "/page/vendor/uplot-1.6.32/uPlot.min.css"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        page = (await client.get("/docs")).text
        for path in re.findall(r'"(/page/[^"]+)"', page):
            assert (await client.get(path)).status_code == 200, path


async def test_pages_of_the_named_origins_may_call_and_no_others() -> None:
    lab, other = "https://lab.example.org", "https://other.example.org"
    async with client_of(create_app(Settings.model_construct(cors_origins=(lab,)))) as client:
        asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
        allowed = await client.options("/v1/models", headers={"Origin": lab, **asked})
        assert allowed.headers["access-control-allow-origin"] == lab
        assert "authorization" in allowed.headers["access-control-allow-headers"]
        assert (await client.options("/v1/models", headers={"Origin": other, **asked})).status_code == 400
        sent = {"Sec-Fetch-Site": "cross-site"}
        found = await client.get("/openapi.json", headers={"Origin": lab, **sent})
        assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, lab)
        refused = await client.get("/openapi.json", headers={"Origin": other, **sent})
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
    async with client_of(create_app(Settings.model_construct())) as client:
        refused = await client.get("/openapi.json", headers={"Origin": lab, **sent})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize("origin", ["*", "lab.example.org", "https://lab.example.org/", "https://*.example.org"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        Settings(cors_origins=(origin,))


def test_the_libraries_are_those_that_were_fetched_with_their_licences() -> None:
    listed = json.loads((VENDOR / "packages.json").read_text("utf-8"))["page"]
    known = {VENDOR / "packages.json", VENDOR / "htm-3.1.1" / "standalone.module.d.ts"}
    for package in listed:
        folder = VENDOR / f"{package['name']}-{package['version']}"
        assert "LICENSE" in package["files"]
        for name, file in package["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == file["sha256"], name
            known.add(folder / name)
    assert {path for path in VENDOR.rglob("*") if path.is_file()} == known


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_of_the_page_is_short_and_makes_no_html_from_text(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") < 200
    for unsafe in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "dangerouslySetInnerHTML", "style="):
        assert unsafe not in text
    assert "http://" not in text
    assert "https://" not in text
