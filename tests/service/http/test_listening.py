import asyncio
import json
import resource
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from service.http.connections import Connections, Limits, client_of
from service.http.listening import listen
from tests.service.http.talk import exchange, port_of, serving

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PIPELINED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def open_idle(port: int, count: int) -> list[asyncio.StreamWriter]:
    writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(count)]
    await asyncio.sleep(0.1)
    return writers


async def test_one_connection_too_many_is_told_so_and_the_next_finds_the_place_that_is_free_again() -> None:
    async with serving(app, Limits(connections=4)) as server:
        writers = await open_idle(port_of(server), 3)
        refused = await exchange(port_of(server), b"", REQUEST)
        head, _, body = refused.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in head.lower()
        assert b"connection: close" in head.lower()
        assert json.loads(body)["error"]["code"] == "too_many_connections"
        assert server.server_state.refused == 1
        writers[0].close()
        await writers[0].wait_closed()
        await asyncio.sleep(0.1)
        assert (await exchange(port_of(server), REQUEST)).startswith(b"HTTP/1.1 200 ")
        for writer in writers:
            writer.close()


async def test_refused_connections_are_not_kept() -> None:
    async with serving(app, Limits(connections=1)) as server:
        [held] = await open_idle(port_of(server), 1)
        answers = [await exchange(port_of(server), REQUEST) for _ in range(200)]
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
        assert len(server.listener.refused) == 64
        held.close()


def test_one_client_gets_three_quarters_of_the_places() -> None:
    connections = Connections(Limits(connections=8))
    assert [connections.enter("a") for _ in range(7)] == [True] * 6 + [False]
    assert [connections.enter("b") for _ in range(3)] == [True, True, False]
    connections.leave("a")
    assert connections.enter("c")
    assert not connections.enter("c")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%lo", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_network_of_64_bits_is_one_client(address: str, client: str) -> None:
    assert client_of(address) == client


async def test_connections_that_wait_are_accepted_within_a_few_turns_of_the_loop() -> None:
    async with serving(app, Limits()) as server:
        clients: list[socket.socket] = []

        def connect() -> None:
            clients.extend(socket.create_connection(("127.0.0.1", port_of(server))) for _ in range(300))

        connecting = threading.Thread(target=connect)
        connecting.start()
        connecting.join()  # while the loop stands still
        turns = 0
        while len(server.server_state.connections) < 300:
            turns += 1
            await asyncio.sleep(0)
        assert turns < 60
        for client in clients:
            client.close()


FLOOD = """
import socket, sys, time
clients = []
for _ in range(60):
    clients.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
print("connected", flush=True)
time.sleep(3)
"""


async def test_without_descriptors_it_serves_those_it_has_and_accepts_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(app, Limits()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        flood = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FLOOD, str(port_of(server)), stdout=subprocess.PIPE
        )
        assert flood.stdout is not None
        with socket.socket() as lowest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno() + 10, hard))
        try:
            assert await flood.stdout.readline() == b"connected\n"
            await asyncio.sleep(0.5)
            assert 1 < len(server.server_state.connections) < 60
            writer.write(REQUEST)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert await flood.wait() == 0
        assert 1 <= caplog.text.count("no connection can be accepted for a second") < 10
        assert (await exchange(port_of(server), REQUEST)).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_does_not_read_makes_the_service_answer_little() -> None:
    answered = 0

    async def large(scope: Any, receive: Any, send: Any) -> None:
        nonlocal answered
        answered += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"200000")]})
        await send({"type": "http.response.body", "body": bytes(200_000)})

    async with serving(large, Limits(connections=4)) as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port_of(server)))
        await asyncio.get_running_loop().sock_sendall(client, PIPELINED * 60)
        await asyncio.sleep(0.5)
        assert 1 <= answered <= 4
        client.close()


def test_a_port_that_is_taken_cannot_be_listened_on() -> None:
    [taken] = listen("127.0.0.1", 0)
    with taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "places", "after"),
    [
        (300, 1000, 100, 100, 356),
        (300, 1000, 4096, 744, 1000),
        (300, 300, 4096, 150, 300),
        (5000, 6000, 4096, 4096, 5000),
    ],
)
def test_the_soft_limit_of_descriptors_is_raised_as_far_as_needed(
    soft: int, hard: int, wanted: int, places: int, after: int
) -> None:
    code = (
        "import resource; from service.http.descriptors import places_for_connections as places;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        f"print(places({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(places), str(after)]
