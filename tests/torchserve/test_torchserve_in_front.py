"""Our service in front of a real TorchServe: the same answers as with its own device, and every promise kept."""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.serving import Client, check, serving
from tests.service.troubled import NAME, NOT_A_NUMBER, RAISES, SLOW
from tests.torchserve.requests import ALIKE, REFUSED, Asking
from tests.torchserve.server import TorchServe, write_archive

pytestmark = pytest.mark.torchserve

PIXELS = [[9] * 8] * 8


def behind(server: TorchServe, **settings: object) -> dict[str, object]:
    return {
        "backend": "torchserve",
        "torchserve_url": server.url,
        "torchserve_token_file": server.key_file,
        "preload": "",
    } | settings


@pytest.fixture
async def client(server: TorchServe, torchserve_store: Path) -> AsyncIterator[Client]:
    async with serving(torchserve_store, **behind(server)) as client:
        yield client


async def ask(client: Client, asking: Asking) -> httpx.Response:
    return await client.post(
        f"/v1/models/{asking.model}/predict",
        params={**asking.options, "version": asking.version},
        content=asking.content,
        headers={"Content-Type": asking.kind},
    )


async def ask_json(client: Client, model: str, *seeds: int, **headers: str) -> httpx.Response:
    body = {"inputs": [{"pixels": PIXELS, "seed": seed} for seed in seeds]}
    return await client.post(f"/v1/models/{model}/predict", json=body, headers=headers)


async def until_answered(client: Client, model: str, seconds: float = 120) -> httpx.Response:
    """TorchServe may refuse requests while a worker starts, or keep them until it is there."""
    deadline = time.monotonic() + seconds
    while (answer := await ask_json(client, model, 0, **{"X-Request-Timeout-Ms": "20000"})).status_code != 200:
        if answer.status_code == 504:
            check(answer, 504, "deadline_exceeded", None)
        else:
            check(answer, 503, "not_ready", None)
            assert answer.headers["retry-after"]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    return answer


@pytest.mark.parametrize("asking", ALIKE, ids=lambda asking: asking.name)
async def test_the_answer_is_that_of_the_own_device_field_by_field(
    asking: Asking, client: Client, torchserve_store: Path
) -> None:
    async with serving(torchserve_store) as local:
        mine = await ask(local, asking)
    found = await ask(client, asking)
    assert (mine.status_code, found.status_code) == (200, 200), found.text
    assert found.json()["predictions"] == mine.json()["predictions"]
    assert found.json().keys() == mine.json().keys()
    assert found.json()["timing"]["batch_size"] == mine.json()["timing"]["batch_size"]


@pytest.mark.parametrize("asking", REFUSED, ids=lambda asking: asking.name)
async def test_bad_requests_are_refused_as_with_the_own_device(
    asking: Asking, client: Client, torchserve_store: Path
) -> None:
    async with serving(torchserve_store) as local:
        mine = await ask(local, asking)
    found = await ask(client, asking)
    assert (found.status_code, found.json()) == (mine.status_code, mine.json())


async def test_a_bad_sample_in_a_batch_fails_alone(client: Client) -> None:
    answers = await asyncio.gather(*(ask_json(client, NAME, seed) for seed in (0, NOT_A_NUMBER, 1, RAISES, 2)))
    assert [answer.status_code for answer in answers] == [200, 500, 200, 500, 200]
    check(answers[1], 500, "model_error", None)
    check(answers[3], 500, "internal_error", None)


async def test_a_batch_that_torchserve_has_no_room_for_is_halved(client: Client) -> None:
    answer = await ask_json(client, "narrow", *range(20))
    assert answer.status_code == 200, answer.text
    assert 1 <= answer.json()["timing"]["batch_size"] < 20
    direct = await ask_json(client, "tiny-direct", *range(20))
    assert answer.json()["predictions"] == direct.json()["predictions"]


async def test_a_batch_that_torchserve_takes_not_so_many_bytes_of_is_halved(
    torchserve_store: Path, tmp_path: Path
) -> None:
    write_archive(torchserve_store, "tiny-direct", 1, tmp_path)
    server = TorchServe(tmp_path, max_request_size="1500")
    try:
        server.start()
        async with serving(torchserve_store, **behind(server)) as client:
            await until_answered(client, "tiny-direct")
            answer = await ask_json(client, "tiny-direct", *range(32))
        async with serving(torchserve_store) as local:
            mine = await ask_json(local, "tiny-direct", *range(32))
    finally:
        server.remove()
    assert answer.status_code == 200, answer.text
    assert answer.json()["timing"]["batch_size"] == 16
    assert answer.json()["predictions"] == mine.json()["predictions"]


async def test_a_version_that_torchserve_does_not_have_is_not_ready(client: Client, torchserve_store: Path) -> None:
    added = torchserve_store / "elsewhere"
    shutil.copytree(torchserve_store / "tiny-image", added)
    try:
        message = check(await ask_json(client, "elsewhere", 0), 503, "not_ready", None)
    finally:
        shutil.rmtree(added)
    assert "elsewhere/1" in message


async def test_another_checkpoint_of_the_same_name_is_not_run(server: TorchServe, store_root: Path) -> None:
    shutil.copy(store_root / "tiny-image" / "2" / "model.pt", store_root / "tiny-image" / "1" / "model.pt")
    async with serving(store_root, **behind(server)) as client:
        message = check(await ask_json(client, "tiny-image", 0), 503, "not_ready", None)
    assert "another checkpoint" in message


async def test_a_request_that_torchserve_keeps_too_long_has_its_deadline(
    client: Client, server: TorchServe, torchserve_store: Path
) -> None:
    started = time.monotonic()
    answer = await ask_json(client, NAME, SLOW, **{"X-Request-Timeout-Ms": "100"})
    assert time.monotonic() - started < 0.4
    check(answer, 504, "deadline_exceeded", None)
    async with serving(torchserve_store, **behind(server, torchserve_timeout_ms=50)) as impatient:
        check(await ask_json(impatient, NAME, SLOW), 504, "deadline_exceeded", None)


async def test_a_full_queue_refuses_at_once(server: TorchServe, torchserve_store: Path) -> None:
    async with serving(torchserve_store, **behind(server, max_queue_size=2, max_batch_size=1)) as client:
        assert (await ask_json(client, NAME, 0)).status_code == 200
        answers = await asyncio.gather(*(ask_json(client, NAME, SLOW) for _ in range(6)))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 429}
        check(answers[statuses.index(429)], 429, "overloaded", None)
        assert (await ask_json(client, NAME, 0)).status_code == 200


async def test_a_worker_that_is_killed_is_not_ready_and_comes_back(client: Client, server: TorchServe) -> None:
    before = await ask_json(client, "tiny-direct", 0)
    os.kill(server.worker("tiny-direct"), signal.SIGKILL)
    after = await until_answered(client, "tiny-direct")
    assert after.json()["predictions"] == before.json()["predictions"]


@pytest.fixture
def own(torchserve_store: Path, tmp_path: Path) -> Iterator[TorchServe]:
    """A TorchServe of the shipped configuration with `tiny-direct`, that a test may kill."""
    write_archive(torchserve_store, "tiny-direct", 1, tmp_path)
    server = TorchServe(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def test_a_torchserve_that_is_killed_and_started_again_answers_again(
    own: TorchServe, torchserve_store: Path
) -> None:
    async with serving(torchserve_store, **behind(own, preload="tiny-direct", ready_seconds=0.5)) as client:
        before = await until_answered(client, "tiny-direct")
        assert (await client.get("/health/ready")).status_code == 200
        own.stop(signal.SIGKILL)
        check(await ask_json(client, "tiny-direct", 0), 503, "not_ready", None)
        await asyncio.sleep(0.6)
        check(await client.get("/health/ready"), 503, "not_ready", None)
        await asyncio.to_thread(own.start)
        after = await until_answered(client, "tiny-direct")
        assert after.json()["predictions"] == before.json()["predictions"]
        assert (await client.get("/health/ready")).status_code == 200


async def test_a_wrong_token_is_not_ready_until_the_file_has_the_right_one(
    server: TorchServe, torchserve_store: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    settings = behind(server, torchserve_token_file=token)
    async with serving(torchserve_store, **settings) as client:
        message = check(await ask_json(client, "tiny-direct", 0), 503, "not_ready", None)
        assert "token" in message
        token.write_text("wrong\n")
        check(await ask_json(client, "tiny-direct", 0), 503, "not_ready", None)
        token.write_text(json.loads(server.key_file.read_text())["inference"]["key"])
        assert (await ask_json(client, "tiny-direct", 0)).status_code == 200
