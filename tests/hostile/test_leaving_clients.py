"""Clients that hang up: in mid-body, in mid-inference, alone or a hundred at once."""

import json
import socket
import struct
import time

import httpx
import pytest

from tests.hostile.refusals import GOOD, IMAGE
from tests.hostile.server import Server, head

BODY = json.dumps(GOOD).encode()
MANY = json.dumps({"inputs": GOOD["inputs"] * 256}).encode()
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


def hang_up(connection: socket.socket) -> None:
    """Close with a reset, so that nothing lingers."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def settled(server: Server) -> dict[str, float]:
    """What the service counts, once nothing waits any more."""
    ends = time.monotonic() + 60
    while True:
        text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=60).text
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        values = {name: float(value) for name, value in lines}
        if values["snn_queue_depth"] == 0:
            return values
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/models/tiny-im",
        head(IMAGE, f"Content-Length: {len(BODY)}"),
        head(IMAGE, f"Content-Length: {len(BODY)}") + BODY[:-1],
        head(IMAGE, "Transfer-Encoding: chunked") + b"5\r\nab",
        head(IMAGE, "Content-Length: 1000", "Expect: 100-continue"),
        head(IMAGE, "Content-Length: 9000000", kind="multipart/form-data; boundary=x") + FORM + bytes(3_000_000),
        head(IMAGE, f"Content-Length: {len(BODY)}") + BODY,
        head(IMAGE, f"Content-Length: {len(MANY)}") + MANY,
        (head(IMAGE, f"Content-Length: {len(BODY)}") + BODY) * 50,
    ],
    ids=[
        "head",
        "no body",
        "half a body",
        "half a chunk",
        "continue",
        "half a form",
        "whole",
        "many inputs",
        "pipelined",
    ],
)
def test_a_client_that_hangs_up_harms_nobody(server: Server, sent: bytes) -> None:
    for reset in (True, False):
        for pause in (0, 0.02):
            connection = server.connect()
            connection.sendall(sent)
            time.sleep(pause)
            if reset:
                hang_up(connection)
            else:
                connection.shutdown(socket.SHUT_WR)
                connection.close()
            server.check_still_answers()
    settled(server)


def test_a_hundred_that_leave_at_once_leave_nothing_behind(server: Server) -> None:
    def hundred() -> None:
        connections = [server.connect() for _ in range(100)]
        for number, connection in enumerate(connections):
            request = head(IMAGE, f"Content-Length: {len(MANY)}") + MANY
            connection.sendall(request if number % 2 else request[: len(request) // 2])
        for connection in connections:
            hang_up(connection)

    hundred()
    settled(server)
    with server.growing_less_than(60):
        for _ in range(3):
            hundred()
            settled(server)
            server.check_still_answers()
    assert settled(server)["snn_queue_depth"] == 0


def test_a_hundred_that_only_connect_keep_nobody_out(server: Server) -> None:
    connections = [server.connect() for _ in range(100)]
    for connection in connections[::2]:
        connection.sendall(head(IMAGE, "Content-Length: 30000000") + bytes(1000))
    server.check_still_answers()
    for connection in connections:
        hang_up(connection)
    server.check_still_answers()
