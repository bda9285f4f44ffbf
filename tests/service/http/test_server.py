"""The end of a real service under real load."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.service.process import ROOT, environment, started, wait_for
from tests.service.streams.streaming import as_bytes, bar
from tests.service.troubled import NAME, SLOW, add_troubled
from tests.tiny import EVENT_STEPS

PREDICT = f"/v1/models/{NAME}/predict"
PATIENCE = 120


def body(*seeds: int) -> bytes:
    return json.dumps({"inputs": [{"pixels": [[7] * 8] * 8, "seed": seed} for seed in seeds]}).encode()


def ready(address: str) -> httpx.Response:
    return httpx.get(f"{address}/health/ready", timeout=PATIENCE)


def until_ready(address: str) -> None:
    ends = time.monotonic() + PATIENCE
    while ready(address).status_code != 200:
        assert time.monotonic() < ends
        time.sleep(0.05)


def is_open(address: str) -> bool:
    where = urlsplit(address)
    try:
        socket.create_connection((where.hostname or "", where.port or 0), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


class Client(threading.Thread):
    """Sends the same request again and again on a connection that it keeps, and writes down what came of each."""

    def __init__(self, address: str, sent: bytes, *, once: bool = False) -> None:
        super().__init__()
        self.outcomes: list[tuple[int, str | None] | Exception] = []
        self.enough = threading.Event()
        self._where = urlsplit(address)
        self._sent = sent
        self._once = once
        self.start()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._where.hostname or "", self._where.port, timeout=PATIENCE)
        with closing(connection):
            self._send_on(connection)

    def _send_on(self, connection: http.client.HTTPConnection) -> None:
        while not self.enough.is_set():
            try:
                connection.request("POST", PREDICT, self._sent, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                self.outcomes.append((answer.status, answer.headers["Connection"]))
            except Exception as error:
                self.outcomes.append(error)
                return
            if self._once:
                return


@pytest.fixture
def store(store_root: Path) -> Path:
    add_troubled(store_root, slow_rounds=100)
    return store_root


def settings(store: Path, **others: Any) -> dict[str, str]:
    return {"MODEL_STORE": str(store), "PRELOAD": NAME} | {name: str(value) for name, value in others.items()}


def test_told_to_leave_under_load_it_answers_all_that_it_accepted(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    choices = settings(
        store, MAX_BATCH_SIZE=1, MAX_QUEUE_SECONDS=PATIENCE, DRAIN_SECONDS=3, SHUTDOWN_GRACE_SECONDS=PATIENCE
    )
    with started(log, **choices) as (process, address):
        until_ready(address)
        begun = time.monotonic()
        assert httpx.post(address + PREDICT, json=json.loads(body(SLOW)), timeout=PATIENCE).status_code == 200
        a_row = time.monotonic() - begun
        clients = [Client(address, body(seed)) for seed in range(8)]
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        while (leaving := ready(address)).status_code == 200:
            pass
        assert leaving.json()["error"]["code"] == "shutting_down"
        # The port is still open, and whoever comes is served.
        new = httpx.post(address + PREDICT, json=json.loads(body(3)), timeout=PATIENCE)
        assert (new.status_code, new.headers["connection"]) == (200, "close")
        assert httpx.get(f"{address}/health/live", timeout=PATIENCE).status_code == 200
        for client in clients:
            client.enough.set()
        rows = max(2, min(120, int(4 / a_row)))
        last = [Client(address, body(*[SLOW] * rows), once=True) for _ in range(3)]
        while is_open(address):
            time.sleep(0.01)
        were_waiting = sum(client.is_alive() for client in last)
        for client in [*clients, *last]:
            client.join(PATIENCE)
        assert process.wait(timeout=PATIENCE) == 0
    outcomes = [outcome for client in [*clients, *last] for outcome in client.outcomes]
    assert {outcome[0] if isinstance(outcome, tuple) else repr(outcome) for outcome in outcomes} == {200}
    assert [client.outcomes for client in last] == [[(200, "close")]] * 3
    assert were_waiting > 0
    assert "Traceback" not in log.read_text()


def test_what_is_not_done_when_the_grace_is_over_is_told_so(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    choices = settings(store, MAX_BATCH_SIZE=1, DRAIN_SECONDS=0, SHUTDOWN_GRACE_SECONDS=1)
    with started(log, **choices) as (process, address):
        until_ready(address)
        client = Client(address, body(*[SLOW] * 256), once=True)
        slow_body = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
        slow_body.putrequest("POST", PREDICT)
        slow_body.putheader("Content-Type", "application/json")
        slow_body.putheader("Content-Length", "1000")
        slow_body.endheaders(b"{")
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
        with closing(slow_body):
            assert slow_body.getresponse().status == 503
        client.join(PATIENCE)
    assert client.outcomes == [(503, "close")]
    assert "Traceback" not in log.read_text()


def test_streams_are_told_that_the_service_leaves(tiny_store_root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    chosen = settings(tiny_store_root, PRELOAD="tiny-events", DRAIN_SECONDS=0, SHUTDOWN_GRACE_SECONDS=20)
    with started(log, **chosen) as (process, address):
        until_ready(address)
        url = f"{address.replace('http', 'ws', 1)}/v1/models/tiny-events/stream"
        with connect(url) as one, connect(url) as other:
            one.send(as_bytes(bar(1)))
            heard = [[json.loads(one.recv()) for _ in range(EVENT_STEPS)], [json.loads(other.recv())]]
            process.send_signal(signal.SIGTERM)
            for socket_, messages in zip((one, other), heard, strict=True):
                with suppress(ConnectionClosed):
                    messages.extend(map(json.loads, socket_))
                assert messages[-2]["error"]["code"] == "shutting_down"
                assert (messages[-1]["type"], messages[-1]["steps"]) == ("closed", len(messages) - 3)
                assert socket_.close_code == 1012
        begun = time.monotonic()
        assert process.wait(timeout=PATIENCE) == 0
        assert time.monotonic() - begun < 15
    assert "Traceback" not in log.read_text()


def test_clients_that_do_not_read_and_bodies_that_never_end_do_not_keep_the_process(
    store: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    choices = settings(store, DRAIN_SECONDS=0, SHUTDOWN_GRACE_SECONDS=1)
    with started(log, **choices) as (process, address), ExitStack() as stack:
        until_ready(address)
        where = urlsplit(address)
        for sent in (
            b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100,
            b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 100\r\n\r\n--x",
            f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode(),
            b"GET / HT",
            b"",
        ):
            for _ in range(3):
                client = stack.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect((where.hostname, where.port))
                client.sendall(sent)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
    text = log.read_text()
    assert "Traceback" not in text
    assert "exiting without it" not in text


def test_a_stuck_device_does_not_keep_the_process_alive(store_root: Path, tmp_path: Path) -> None:
    add_troubled(store_root, slow_rounds=10**9)
    log = tmp_path / "log"
    choices = settings(store_root, DRAIN_SECONDS=0, SHUTDOWN_GRACE_SECONDS=0.5, READY_SECONDS=0.2)
    with started(log, **choices) as (process, address):
        until_ready(address)
        client = Client(address, body(SLOW), once=True)
        ends = time.monotonic() + PATIENCE
        while (stuck := ready(address)).status_code == 200:
            assert time.monotonic() < ends
        assert stuck.json()["error"]["code"] == "not_ready"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 1
        client.join(PATIENCE)
    assert client.outcomes == [(503, "close")]
    assert "the device did not finish its batch" in log.read_text()
    assert "Traceback" not in log.read_text()


WITH_A_THREAD_THAT_DOES_NOT_END = """
import sys, threading, time
from contract.settings import load
from service.serve import serve
threading.Thread(target=time.sleep, args=(1000,)).start()
sys.exit(serve(load()))
"""


def test_what_does_not_end_is_abandoned(tmp_path: Path) -> None:
    log = tmp_path / "log"
    choices = {"PORT": "0", "DATA_DIR": str(tmp_path), "MODEL_STORE": str(tmp_path), "DRAIN_SECONDS": "0"}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", WITH_A_THREAD_THAT_DOES_NOT_END],
            cwd=ROOT,
            env=environment(SHUTDOWN_GRACE_SECONDS="0.1", **choices),
            stderr=errors,
        )
    try:
        wait_for(process, log, "running on")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
    finally:
        process.kill()
        process.wait()
    assert "exiting without it" in log.read_text()


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
def test_an_interrupt_or_a_second_signal_does_not_wait(
    store: Path, tmp_path: Path, signals: list[signal.Signals]
) -> None:
    choices = settings(store, DRAIN_SECONDS=500, SHUTDOWN_GRACE_SECONDS=600)
    with started(tmp_path / "log", **choices) as (process, address):
        until_ready(address)
        process.send_signal(signals[0])
        for each in signals[1:]:
            ends = time.monotonic() + PATIENCE
            while ready(address).status_code == 200:  # two signals that wait for the process would arrive as one
                assert time.monotonic() < ends
            process.send_signal(each)
        assert process.wait(timeout=PATIENCE) == 0
