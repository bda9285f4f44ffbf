"""Deadlines, clients who leave and the bounds of what waits, on the whole application."""

import asyncio
from pathlib import Path

import pytest

from service.http.connections import Limits
from tests.service.app import JSON, PREDICT, body, dropped, occupied, parts, predict, rows_run, running, until
from tests.service.exchange import Exchange
from tests.service.http.talk import port_of, serving
from tests.service.prometheus import read
from tests.service.troubled import SLOW, add_troubled


@pytest.fixture
def store(store_root: Path) -> Path:
    add_troubled(store_root)
    return store_root


async def test_a_request_whose_time_passes_in_the_queue_never_runs(store: Path) -> None:
    async with running(store, max_batch_size=1) as app:
        slow = await occupied(app)
        late = predict(app, 1, timeout_ms=20)
        status, _, answer = await late.answer()
        assert not slow.is_answered
        assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
        assert dropped(app) == {("queue", "deadline"): 1}
        assert parts(app).predictor.batcher.depth == 0
        assert (await slow.answer())[0] == 200
        assert (await predict(app, 2).answer())[0] == 200
        assert rows_run(app) == 2


async def test_a_request_whose_time_passes_on_the_device_is_told_and_harms_nobody(store: Path) -> None:
    async with running(store) as app:
        assert (await predict(app, 1).answer())[0] == 200  # from now on the way to the device is short
        status, _, answer = await predict(app, SLOW, timeout_ms=100).answer()
        assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
        assert dropped(app) == {("device", "deadline"): 1}
        assert (await predict(app, 2).answer())[0] == 200


async def test_the_services_own_time_holds_where_the_caller_names_none_and_bounds_the_callers(store: Path) -> None:
    async with running(store, request_timeout_ms=40, max_request_timeout_ms=50) as app:
        silent = Exchange(app, PREDICT, headers=JSON)
        asking = Exchange(app, PREDICT, headers=JSON | {"X-Request-Timeout-Ms": "60000"})
        for waiting in (silent, asking):
            assert (await waiting.answer())[0] == 408


async def test_a_body_that_is_not_there_in_time_is_given_up(store: Path) -> None:
    async with running(store) as app:
        path = "/v1/models/tiny-image/default"
        for slow in (
            Exchange(app, PREDICT, headers=JSON | {"X-Request-Timeout-Ms": "50"}),
            Exchange(app, path, method="PUT", headers=JSON | {"X-Request-Timeout-Ms": "50"}),
        ):
            slow.send(b"{", more=True)
            status, headers, answer = await slow.answer()
            assert (status, answer["error"]["code"]) == (408, "request_timeout")
            assert headers["connection"] == "close"
        assert dropped(app) == {("body", "deadline"): 2}
        assert parts(app).predictor.admission.bytes == 0


async def test_a_model_that_loads_for_longer_than_the_caller_waits_is_not_ready(store: Path) -> None:
    async with running(store) as app:
        headers = JSON | {"X-Request-Timeout-Ms": "1"}
        waiting = Exchange(app, "/v1/models/tiny-events/predict", headers=headers)
        status, headers, answer = await waiting.answer()
        assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "not_ready", "1")
        assert waiting.reads == 0
        assert dropped(app) == {("load", "deadline"): 1}


async def test_a_client_who_leaves_the_queue_never_runs(store: Path) -> None:
    async with running(store, max_batch_size=1) as app:
        slow = await occupied(app)
        leaving, staying = predict(app, 1, 2, 3), predict(app, 4)
        await until(lambda: parts(app).predictor.batcher.depth == 2)
        leaving.hang_up()
        await asyncio.wait_for(leaving.task, 60)
        assert not slow.is_answered
        assert not leaving.is_answered
        assert dropped(app) == {("queue", "client_left"): 1}
        assert (await staying.answer())[0] == (await slow.answer())[0] == 200
        assert rows_run(app) == 2
        requests = [key for key in read(parts(app).metrics) if key[0] == "snn_requests_total"]
        assert {dict(labels)["status"] for _, labels in requests} == {"200", "499"}


async def test_a_client_whose_connection_ends_never_runs(store: Path) -> None:
    async with running(store, max_batch_size=1) as app, serving(app, Limits()) as server:
        slow = await occupied(app)
        sent = body(1, 2)
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + sent)
        await until(lambda: parts(app).predictor.batcher.depth == 1)
        writer.close()
        await until(lambda: dropped(app) == {("queue", "client_left"): 1})
        assert not slow.is_answered
        assert parts(app).predictor.batcher.depth == 0
        await slow.answer()
        assert rows_run(app) == 1


async def test_a_client_who_leaves_while_its_body_comes_is_counted(store: Path) -> None:
    async with running(store) as app:
        leaving = Exchange(app, PREDICT, headers=JSON)
        leaving.send(b'{"inputs"', more=True)
        leaving.hang_up()
        await asyncio.wait_for(leaving.task, 60)
        assert not leaving.is_answered
        assert dropped(app) == {("body", "client_left"): 1}


async def test_a_full_queue_refuses_before_the_body_is_read(store: Path) -> None:
    async with running(store, max_queue_size=2, max_batch_size=1) as app:
        slow = await occupied(app)
        waiting = [predict(app, seed) for seed in range(2)]
        await until(lambda: parts(app).predictor.batcher.depth == 2)
        refused = Exchange(app, PREDICT, headers=JSON)
        status, headers, answer = await refused.answer()
        assert not slow.is_answered
        assert (status, answer["error"]["code"], headers["retry-after"]) == (429, "overloaded", "1")
        assert refused.reads == 0
        predict_429 = {("route", "/v1/models/{name}/predict"), ("method", "POST"), ("model", ""), ("status", "429")}
        assert read(parts(app).metrics)["snn_requests_total", frozenset(predict_429)] == 1
        assert [(await each.answer())[0] for each in waiting] == [200, 200]
        assert (await predict(app, 9).answer())[0] == 200
        assert parts(app).predictor.admission.requests == 0


async def test_what_does_not_run_a_network_is_not_refused_by_a_full_queue(store: Path) -> None:
    async with running(store, max_queue_size=1, max_batch_size=1) as app:
        await occupied(app)
        waiting = predict(app, 1)
        await until(lambda: parts(app).predictor.batcher.depth == 1)
        assert (await Exchange(app, "/v1/models", method="GET").answer())[0] == 200
        assert (await waiting.answer())[0] == 200


async def test_a_hundred_slow_bodies_shut_nobody_out(store: Path) -> None:
    async with running(store, max_queue_size=2) as app:
        slow = [Exchange(app, PREDICT, headers=JSON) for _ in range(100)]
        for each in slow:
            each.send(b"{", more=True)
        await until(lambda: all(each.reads == 2 for each in slow))
        assert (await predict(app, 1).answer())[0] == 200
        for each in slow:
            each.hang_up()
        await asyncio.wait_for(asyncio.wait([each.task for each in slow]), 60)


async def test_bodies_that_are_read_share_one_bound_of_bytes(store: Path) -> None:
    async with running(store, max_queue_bytes=10_000) as app:
        large = Exchange(app, PREDICT, headers=JSON)
        large.send(b" " * 9_000, more=True)
        await until(lambda: parts(app).predictor.admission.bytes == 9_000)
        announced = Exchange(app, PREDICT, headers=JSON | {"Content-Length": "2000"})
        assert (await announced.answer())[0] == 429
        assert announced.reads == 0
        growing = Exchange(app, PREDICT, headers=JSON)
        growing.send(b" " * 900, more=True)
        await until(lambda: parts(app).predictor.admission.bytes == 9_900)
        growing.send(b" " * 200, more=True)
        status, _, answer = await growing.answer()
        assert (status, answer["error"]["code"]) == (429, "overloaded")
        large.send(body(1))
        assert (await large.answer())[0] == 200
        assert parts(app).predictor.admission.bytes == 0


async def test_a_request_that_is_alone_may_hold_more_than_the_bound(store: Path) -> None:
    async with running(store, max_queue_bytes=1) as app:
        assert (await predict(app, 1, 2).answer())[0] == 200


async def test_a_failing_input_fails_its_own_request_only(store: Path) -> None:
    async with running(store) as app:
        slow = await occupied(app)
        raising, unreal, good = predict(app, 666), predict(app, 777), predict(app, 5)
        await until(lambda: parts(app).predictor.batcher.depth == 3)
        assert (await raising.answer())[2]["error"]["code"] == "internal_error"
        status, _, answer = await unreal.answer()
        assert (status, answer["error"]["code"]) == (500, "model_error")
        assert (await good.answer())[0] == (await slow.answer())[0] == 200
