"""A running app for tests, and what its failures look like."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from contract.settings import Settings
from service.app import create_app
from service.runtime import Runtime


class Client(httpx.AsyncClient):
    """A client of one running app, which it holds the runtime of."""

    runtime: Runtime


Serve = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def serving(store: Path, **settings: Any) -> AsyncIterator[Client]:
    settings = {"model_store": store, "data_dir": store.parent / "data"} | settings
    app = create_app(Settings(device="cpu", poll_seconds=0.2, **settings))
    async with app.router.lifespan_context(app):
        runtime: Runtime = app.state.runtime
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with Client(transport=transport, base_url="http://localhost") as client:
            client.runtime = runtime
            with anyio.fail_after(60):
                while not runtime.registry.ready:
                    await anyio.sleep(0.01)
            yield client


def check(answer: httpx.Response, status: int, code: str, param: str | None) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "param"}
    assert (body["error"]["code"], body["error"]["param"]) == (code, param), answer.text
    assert answer.headers["x-request-id"]
    return str(body["error"]["message"])
