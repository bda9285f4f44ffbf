"""What is sent again, over real sockets, and after how long."""

import socket
import time
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest

from stl_snn_client import (
    AsyncClient,
    Client,
    ConnectionFailed,
    ConnectionTimeout,
    Overloaded,
    ServiceUnreachable,
    Unavailable,
)
from stl_snn_client.attempts import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Attempts
from stl_snn_client.calls import jobs, models
from tests.stl_snn_client.scripted import failure, response, scripted

MODEL = response(200, b'{"name": "m", "more": 1}')
JOB = response(201, b'{"id": "ftjob-1"}')


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client wants to wait each time; it does not."""
    found: list[float] = []

    async def pause(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("stl_snn_client.client.time.sleep", found.append)
    monkeypatch.setattr("stl_snn_client.async_client.asyncio.sleep", pause)
    return found


def test_a_client_waits_as_long_as_it_is_told() -> None:
    with scripted(failure(429, "overloaded", Retry_After="1"), MODEL) as server, Client(server.url) as client:
        began = time.monotonic()
        assert client.model("m")["name"] == "m"
        assert time.monotonic() - began >= 1


async def test_a_refusal_and_a_broken_connection_are_tried_again(waits: list[float]) -> None:
    answers = (failure(503, "not_ready", Retry_After="7"), b"", MODEL)
    with scripted(*answers) as server, Client(server.url) as client:
        assert client.model("m")["name"] == "m"
    assert 7 <= waits[0] < 9
    assert 2 * FIRST_WAIT_SECONDS <= waits[1] < 3 * FIRST_WAIT_SECONDS
    assert len(server.requests) == 3
    with scripted(*answers) as server:
        async with AsyncClient(server.url) as client:
            assert (await client.model("m"))["name"] == "m"
    assert len(waits) == 4


def test_the_last_failure_is_raised(waits: list[float]) -> None:
    with scripted(*[failure(429, "overloaded")] * 3) as server, Client(server.url) as client:
        with pytest.raises(Overloaded) as raised:
            client.model("m")
        assert (raised.value.code, raised.value.status, len(waits)) == ("overloaded", 429, 2)
    with scripted(failure(429, "overloaded")) as server, Client(server.url, retries=0) as client:
        with pytest.raises(Overloaded):
            client.model("m")
        assert len(server.requests) == 1


def test_what_would_be_done_twice_is_sent_again_only_if_nothing_was_done(waits: list[float], tmp_path: Path) -> None:
    (tmp_path / "digits.zip").write_bytes(b"content")
    with scripted(failure(429, "overloaded"), response(200)) as server, Client(server.url) as client:
        client.files.upload(tmp_path / "digits.zip")
        assert [b"content" in request for request in server.requests] == [True, True]
    for answer, error in ((failure(503, "shutting_down"), Unavailable), (b"", ConnectionFailed)):
        with scripted(answer, response(200)) as server, Client(server.url) as client:
            with pytest.raises(error):
                client.files.upload(tmp_path / "digits.zip")
            assert len(server.requests) == 1


def test_a_job_is_created_once_whatever_happens_to_the_connection(waits: list[float]) -> None:
    with scripted(b"", JOB) as server, Client(server.url) as client:
        assert client.fine_tune.create("m", "file-1", n_epochs=3)["id"] == "ftjob-1"
    first, second = server.requests
    assert first == second
    assert b"idempotency-key: " in first.lower()


def test_a_connection_that_is_refused_is_tried_again(waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ServiceUnreachable):
            client.fine_tune.cancel("ftjob-1")
        assert len(waits) == 2


def test_a_time_that_is_over_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stl_snn_client.options.MARGIN_SECONDS", 0.0)
    with (
        scripted(lambda _: time.sleep(0.3)) as server,
        Client(server.url, timeout=0.1, retries=0) as client,
        pytest.raises(ConnectionTimeout),
    ):
        client.model("m")
    assert b"x-request-timeout-ms: 100\r\n" in server.requests[0].lower()


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"error": {"code": "not_ready", "message": "no"}})


def test_a_date_is_waited_for_and_a_long_time_is_not() -> None:
    wait = Attempts(models.get_model("m"), 2).wait_after(answer(503, **{"retry-after": formatdate(time.time() + 10)}))
    assert wait is not None
    assert 8 < wait < 13
    for header in (f"{LONGEST_WAIT_SECONDS + 1:.0f}", formatdate(time.time() + 100)):
        with pytest.raises(Unavailable):
            Attempts(models.get_model("m"), 2).wait_after(answer(503, **{"retry-after": header}))
    assert Attempts(models.get_model("m"), 2).wait_after(answer(503, **{"retry-after": "soon"})) is not None


def test_a_checkpoint_that_is_broken_is_not_asked_for_again() -> None:
    broken = httpx.Response(503, json={"error": {"code": "model_failed_to_load", "message": "no"}})
    with pytest.raises(Unavailable):
        Attempts(models.get_model("m"), 2).wait_after(broken)


def test_a_promotion_with_an_expected_version_is_not_repeatable() -> None:
    assert models.promote("m", 2).repeatable
    assert not models.promote("m", 2, expected=1).repeatable
    assert jobs.create("m", "file-1").repeatable
    assert not jobs.cancel("ftjob-1").repeatable
