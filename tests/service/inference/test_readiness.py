"""Readiness, found out on the way that a request takes, on the whole application."""

import asyncio
from pathlib import Path

import pytest

from tests.service.app import JSON, PREDICT, body, occupied, parts, predict, rows_run, running, until
from tests.service.exchange import Exchange
from tests.service.troubled import RAISES, add_troubled

READY, LIVE = "/health/ready", "/health/live"


@pytest.fixture
def store(store_root: Path) -> Path:
    add_troubled(store_root)
    return store_root


async def test_an_idle_service_tries_its_device_and_a_busy_one_need_not(store: Path) -> None:
    async with running(store, ready_seconds=30) as app:
        for _ in range(3):
            assert (await Exchange(app, READY, method="GET").answer())[0] == 200
        assert rows_run(app) == 1
        assert (await predict(app, 1).answer())[0] == 200
        assert (await Exchange(app, READY, method="GET").answer())[0] == 200
        assert rows_run(app) == 2


async def test_a_stuck_device_is_not_ready_until_it_moves_again(store: Path) -> None:
    async with running(store, ready_seconds=0.05) as app:
        assert (await Exchange(app, READY, method="GET").answer())[0] == 200
        await asyncio.sleep(0.06)
        slow = await occupied(app)
        asking = [Exchange(app, READY, method="GET") for _ in range(5)]
        assert (await Exchange(app, LIVE, method="GET").answer())[0] == 200
        for each in asking:
            status, headers, answer = await each.answer()
            assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "not_ready", "1")
        assert not slow.is_answered
        assert parts(app).predictor.batcher.depth == 1  # one trial for all who asked
        assert (await slow.answer())[0] == 200
        await until(lambda: parts(app).predictor.batcher.depth == 0)
        assert (await Exchange(app, READY, method="GET").answer())[0] == 200


async def test_a_stuck_device_with_a_full_queue_is_not_ready(store: Path) -> None:
    async with running(store, ready_seconds=0.05, max_queue_size=1, max_batch_size=1) as app:
        slow = await occupied(app)
        waiting = predict(app, 1)
        await until(lambda: parts(app).predictor.batcher.depth == 1)
        await asyncio.sleep(0.06)
        assert (await Exchange(app, READY, method="GET").answer())[0] == 503
        assert not slow.is_answered
        assert (await waiting.answer())[0] == 200


async def test_a_network_that_fails_is_not_ready_and_says_no_more_than_that(store: Path) -> None:
    async with running(store, ready_seconds=30) as app:
        parts(app).predictor.batcher._device.stop(wait=True)
        status, _, answer = await Exchange(app, READY, method="GET").answer()
        assert (status, answer["error"]["message"]) == (503, "a blank sample failed on the device")


async def test_without_a_loaded_model_there_is_nothing_to_try(store: Path) -> None:
    async with running(store, preload=()) as app:
        assert (await Exchange(app, READY, method="GET").answer())[0] == 200
        assert rows_run(app) == 0


async def test_a_bad_sample_does_not_make_the_service_unready(store: Path) -> None:
    async with running(store, ready_seconds=30) as app:
        assert (await predict(app, RAISES).answer())[0] == 500
        assert (await Exchange(app, READY, method="GET").answer())[0] == 200


async def test_a_service_that_leaves_is_not_ready_and_sends_its_clients_away(store: Path) -> None:
    async with running(store) as app:
        kept = predict(app, 1)
        assert "connection" not in (await kept.answer())[1]
        parts(app).readiness.shutting_down = True
        status, headers, answer = await Exchange(app, READY, method="GET").answer()
        assert (status, answer["error"]["code"], headers["connection"]) == (503, "shutting_down", "close")
        last = Exchange(app, PREDICT, headers=JSON)
        last.send(body(1))
        status, headers, _ = await last.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert (await Exchange(app, LIVE, method="GET").answer())[0] == 200


async def test_what_waits_when_the_grace_is_over_is_told_so(store: Path) -> None:
    async with running(store, max_batch_size=1) as app:
        slow = await occupied(app)
        waiting = predict(app, 1)
        await until(lambda: parts(app).predictor.batcher.depth == 1)
        parts(app).predictor.admission.close()
        for each in (slow, waiting, predict(app, 2)):
            status, headers, answer = await each.answer()
            assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "shutting_down", "1")
