"""The whole application around a network that can be slow or fail, and requests to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from contract.settings import Settings
from service.app import create_app
from service.runtime import Runtime
from tests.service.exchange import Exchange
from tests.service.prometheus import read
from tests.service.troubled import NAME, SLOW

PREDICT = f"/v1/models/{NAME}/predict"
JSON = {"Content-Type": "application/json"}
PIXELS = [[7] * 8] * 8


def body(*seeds: int) -> bytes:
    return json.dumps({"inputs": [{"pixels": PIXELS, "seed": seed} for seed in seeds]}).encode()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def running(store: Path, **settings: Any) -> AsyncIterator[FastAPI]:
    app = create_app(Settings(model_store=store, device="cpu", **({"preload": (NAME,)} | settings)))
    async with app.router.lifespan_context(app):
        await until(lambda: app.state.runtime.registry.ready)
        yield app


def parts(app: FastAPI) -> Runtime:
    runtime: Runtime = app.state.runtime
    return runtime


def dropped(app: FastAPI) -> dict[tuple[str, str], float]:
    """How many requests were ended early, by stage and reason."""
    found = {}
    for (name, labels), value in read(parts(app).metrics).items():
        if name == "snn_dropped_total":
            found[dict(labels)["stage"], dict(labels)["reason"]] = value
    return found


def rows_run(app: FastAPI) -> float:
    return sum(value for (name, _), value in read(parts(app).metrics).items() if name == "snn_batch_size_sum")


def predict(app: FastAPI, *seeds: int, timeout_ms: int = 60_000, **headers: str) -> Exchange:
    sent = Exchange(app, PREDICT, headers=JSON | {"X-Request-Timeout-Ms": str(timeout_ms)} | headers)
    sent.send(body(*seeds))
    return sent


async def occupied(app: FastAPI) -> Exchange:
    """Keep the device at work for a while; the request that does is on the device when this returns."""
    slow = predict(app, SLOW)
    await until(lambda: slow.stage == "device")
    assert not slow.is_answered
    return slow
