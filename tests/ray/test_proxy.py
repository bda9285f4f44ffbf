"""What Ray's proxy does in the place of the service's own server, as docs/scaling.md says."""

import json
import socket
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.ray.load import PREDICT, body

if TYPE_CHECKING:
    from tests.ray.cluster import RayCluster

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

POST = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
HEAD_SECONDS = 10.0  # of the service's own server


def connect(ray_cluster: "RayCluster") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", ray_cluster.port))
    connection.settimeout(20)
    return connection


def answer(ray_cluster: "RayCluster", head: str, content: bytes = b"") -> tuple[int, str]:
    """The status of the response, and the code of its error."""
    with connect(ray_cluster) as connection:
        connection.sendall(f"{head}\r\n".encode() + content)
        received = connection.makefile("rb").read()
    return int(received.split()[1]), json.loads(received.split(b"\r\n\r\n")[1]).get("error", {}).get("code", "")


def test_a_body_whose_announced_length_is_too_large_is_refused_before_it_is_sent(ray_cluster: "RayCluster") -> None:
    with connect(ray_cluster) as connection:
        connection.sendall(f"{POST}Content-Length: 1000000000\r\n\r\n".encode())
        assert b" 413 " in connection.recv(100)


def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(ray_cluster: "RayCluster") -> None:
    pieces = (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 17
    with connect(ray_cluster) as connection:
        connection.sendall(f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode() + pieces)
        assert b" 413 " in connection.recv(100)


def test_a_body_that_stalls_ends_with_its_deadline(ray_cluster: "RayCluster") -> None:
    head = f"{POST}X-Request-Timeout-Ms: 500\r\nContent-Length: 100\r\n"
    assert answer(ray_cluster, head, b"{") == (408, "request_timeout")


def test_a_request_whose_client_leaves_ends_in_the_replica(ray_cluster: "RayCluster") -> None:
    from tests.ray.cluster import until

    left = uuid.uuid4().hex
    with connect(ray_cluster) as connection:
        connection.sendall(f"{POST}X-Request-ID: {left}\r\nContent-Length: 100\r\n\r\n{{".encode())
        time.sleep(0.5)
    until(lambda: any(left in line for line in ray_cluster.lines("POST /v1/models/tiny-image/predict")))
    [line] = [line for line in ray_cluster.lines("POST") if left in line]
    assert float(line.split()[-2]) < 5000


def test_a_foreign_host_is_refused(ray_cluster: "RayCluster") -> None:
    head = "GET /health/live HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n"
    assert answer(ray_cluster, head) == (403, "foreign_host")


def test_the_proxy_waits_for_ever_for_the_end_of_a_head(ray_cluster: "RayCluster") -> None:
    with connect(ray_cluster) as connection:
        connection.sendall(POST.encode())
        time.sleep(HEAD_SECONDS + 1)
        content = body(1)
        connection.sendall(f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
        assert b" 200 " in connection.recv(100)
