"""A server on a real socket that answers each connection by a script, and keeps what it was asked."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = bytes | Callable[[socket.socket], None]


def response(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """A whole response, after which the connection is closed."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def failure(status: int, code: str, **headers: str) -> bytes:
    """A response with the service's body of a failure."""
    body = f'{{"error": {{"code": "{code}", "message": "no", "param": null}}}}'
    return response(status, body.encode(), **headers)


class Scripted:
    """The server's address, and the requests that it has read: head and body."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[bytes] = []


@contextmanager
def scripted(*answers: Answer) -> Iterator[Scripted]:
    """Answer one connection after the other, each with its answer; empty bytes hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(listener.getsockname()[1])
        listener.settimeout(20)

        def run() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    server.requests.append(_request(connection))
                    if callable(answer):
                        answer(connection)
                    else:
                        connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
