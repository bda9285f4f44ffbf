"""The documents that are the same for everybody."""

import asyncio
import json
import threading
import time
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Route

from contract.settings import Settings
from service.app import create_app
from service.http.documents import Document

COMMITTED = Path(__file__).parents[3] / "openapi.json"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings.model_construct())


async def get(app: FastAPI | Starlette, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path, headers=headers)


async def test_a_document_is_rendered_once_in_a_thread_for_all_who_ask() -> None:
    threads: list[threading.Thread] = []

    def render() -> bytes:
        threads.append(threading.current_thread())
        time.sleep(0.02)
        return b"content"

    app = Starlette(routes=[Route("/", Document(render, "text/plain").respond)])
    answers = await asyncio.gather(*(get(app, "/") for _ in range(4)))
    answers.append(await get(app, "/"))
    assert [answer.content for answer in answers] == [b"content"] * 5
    assert len(threads) == 1
    assert "content-encoding" not in answers[0].headers  # not worth it
    assert threads[0] is not threading.main_thread()
    tag = answers[0].headers["etag"]
    for known, status in ((tag, 304), (f'"another", W/{tag}', 304), ('"another"', 200)):
        again = await get(app, "/", **{"If-None-Match": known})
        assert (again.status_code, again.headers["etag"]) == (status, tag)
        assert again.content == (b"" if status == 304 else b"content")


async def test_a_document_is_packed_for_those_who_can_unpack_it(app: FastAPI) -> None:
    packed = await get(app, "/openapi.json", **{"Accept-Encoding": "gzip"})
    plain = await get(app, "/openapi.json", **{"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) * 4 < int(plain.headers["content-length"])
    assert packed.content == plain.content
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


async def test_the_served_document_is_the_committed_one(app: FastAPI) -> None:
    answer = await get(app, "/openapi.json")
    committed = json.loads(COMMITTED.read_text("utf-8"))
    committed["info"]["version"] = answer.json()["info"]["version"]
    assert answer.json() == committed
    assert answer.headers["content-type"] == "application/json"


async def test_a_page_shows_it(app: FastAPI) -> None:
    answer = await get(app, "/redoc")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "/openapi.json" in answer.text
