"""The gate of a running application: what it refuses, and what becomes known of that."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI

from service.http.overload import BEHIND_SECONDS, TURNS, OverloadGate
from tests.service.app import PREDICT, parts, running
from tests.service.prometheus import read
from tests.service.troubled import NAME, add_troubled

URL = PREDICT.encode()
INFER = f"/v2/models/{NAME}/infer"
ALL = [
    (b"POST", URL),
    (b"POST", URL + b"?top_k=1"),
    (b"POST", INFER.encode()),
    (b"GET", URL),
    (b"GET", b"/v1/models"),
    (b"POST", b"/v1/files"),
    (b"HEAD", b"/v1/models"),
    (b"GET", b"/health/live"),
    (b"GET", b"/v2/health/live"),
    (b"GET", b"/metrics"),
]


@pytest_asyncio.fixture
async def app(store_root: Path) -> AsyncIterator[FastAPI]:
    add_troubled(store_root)
    async with running(store_root, max_queue_size=3) as started:
        yield started


@pytest.fixture
def gate(app: FastAPI) -> OverloadGate:
    return OverloadGate(lambda: parts(app))


def refused(gate: OverloadGate) -> list[tuple[bytes, bytes]]:
    return [request for request in ALL if gate.refusal(*request) is not None]


async def test_a_full_queue_refuses_predictions_alone(app: FastAPI, gate: OverloadGate) -> None:
    assert refused(gate) == []
    admission = parts(app).predictor.admission
    with admission.request(), admission.request(), admission.request():
        assert refused(gate) == ALL[:3]
    await asyncio.sleep(0)
    assert refused(gate) == []


async def test_a_refusal_has_the_shape_of_its_interface(app: FastAPI, gate: OverloadGate) -> None:
    admission = parts(app).predictor.admission
    with admission.request(), admission.request(), admission.request():
        shapes = [gate.refusal(b"POST", url) for url in (URL, INFER.encode())]
    texts = [shape.render().partition(b"\r\n\r\n")[2] for shape in shapes if shape is not None]
    assert [type(json.loads(text)["error"]) for text in texts] == [dict, str]


async def test_those_that_arrive_in_one_turn_of_the_loop_are_counted(gate: OverloadGate) -> None:
    assert [gate.refusal(b"POST", URL) is None for _ in range(5)] == [True] * 3 + [False] * 2
    await asyncio.sleep(0)
    assert gate.refusal(b"POST", URL) is None


async def test_a_loop_that_stays_behind_refuses_all_that_can_wait(gate: OverloadGate) -> None:
    late = 2 * BEHIND_SECONDS
    for lag in [late] * (TURNS - 1) + [0.0] + [late] * (TURNS - 1):
        gate.beat(lag)
        assert refused(gate) == []
        await asyncio.sleep(0)
    gate.beat(late)
    assert refused(gate) == ALL[:6]
    gate.beat(0.0)
    assert refused(gate) == []


async def test_refusals_are_counted_and_logged_together(
    app: FastAPI, gate: OverloadGate, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(TURNS):
        gate.beat(1.0)
    refused(gate)
    with caplog.at_level(logging.WARNING):
        gate.report()
        gate.report()
    counts = {
        dict(labels)["route"]: value
        for (name, labels), value in read(parts(app).metrics).items()
        if name == "snn_requests_total" and dict(labels)["status"] == "429"
    }
    assert counts == {"/v1/models/{name}/predict": 2, "/v2/models/{name}/infer": 1, "other": 3}
    assert len(caplog.records) == 3
