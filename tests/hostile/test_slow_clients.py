"""Clients that send or read next to nothing, and floods of connections: others are served beside them."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from service.http.connections import Limits
from tests.hostile.refusals import GOOD, IMAGE
from tests.hostile.server import Server, answer_on, code_of, head, started

BODY = json.dumps(GOOD).encode()
MEBIBYTE = 2**20
PATIENCE = Limits().patience_seconds


@contextmanager
def connected(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(server.connect()) for _ in range(count)]


@pytest.fixture(scope="module")
def small(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with room for 16 MiB, which looks at its device for each question whether it is ready."""
    log = tmp_path_factory.mktemp("small") / "log"
    choices = {"MAX_QUEUE_BYTES": str(16 * MEBIBYTE), "MAX_BODY_BYTES": str(4 * MEBIBYTE), "READY_SECONDS": "0.5"}
    with started(log, MODEL_STORE=str(tiny_store_root), **choices) as running:
        yield running


def test_bodies_that_keep_back_their_last_byte_deny_nothing_and_are_given_up(small: Server) -> None:
    lines = [f"Content-Length: {4 * MEBIBYTE}", "X-Request-Timeout-Ms: 300000"]
    with connected(small, 8) as clients:
        begun = time.monotonic()
        for client in clients:
            with suppress(ConnectionError):
                client.sendall(head(IMAGE, *lines) + b" " * (4 * MEBIBYTE - 1))
        while time.monotonic() < begun + 2:
            small.check_still_answers()
            assert httpx.get(f"http://127.0.0.1:{small.port}/health/ready", timeout=60).status_code == 200
            time.sleep(0.3)
        codes = [code_of(answer_on(client)) for client in clients]
    assert PATIENCE - 1 < time.monotonic() - begun < PATIENCE + 10
    assert codes.count((408, "request_timeout")) == 1  # room for 6 MiB of one client
    assert codes.count((429, "overloaded")) == 7


def test_uploads_that_send_nothing_deny_nothing_and_are_given_up(server: Server) -> None:
    start = head("/v1/files", "Content-Length: 1000000", kind="multipart/form-data; boundary=x") + b"--x\r\n"
    with connected(server, 40) as clients:
        for client in clients:
            client.sendall(start)
        time.sleep(0.5)
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as honest:
            upload = honest.post("/v1/files", files={"file": ("a.zip", b"PK")}, data={"purpose": "fine-tune"})
        assert upload.json()["error"]["code"] == "invalid_dataset"
        assert {code_of(answer_on(client)) for client in clients} == {(408, "request_timeout")}


def test_more_connections_than_descriptors_are_told_so(tiny_store_root: Path, tmp_path: Path) -> None:
    choices = {"MODEL_STORE": str(tiny_store_root)}
    with started(tmp_path / "log", 300, **choices) as server, server.connect() as early:
        served, refused = [], 0
        with ExitStack() as stack:
            for _ in range(400):
                client = stack.enter_context(server.connect())
                client.settimeout(0.02)
                try:
                    client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n")
                    if client.recv(1000):
                        refused += 1
                except TimeoutError:
                    served.append(client)
            assert 100 < len(served) < 150
            assert refused == 400 - len(served)
            early.sendall(head(IMAGE, f"Content-Length: {len(BODY)}") + BODY)
            assert answer_on(early)[0] == 200
            served[-1].settimeout(60)
            served[-1].sendall(b"\r\n")
            assert answer_on(served[-1])[0] == 200
        server.check_still_answers()
        assert "WARNING" in server.log.read_text()
