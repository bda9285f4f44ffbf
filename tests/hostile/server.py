"""A service of its own process, plain sockets to it, and the memory it takes."""

import json
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import parse_headers
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.hostile.refusals import GOOD, IMAGE, check_shows_no_inside
from tests.service import process


@dataclass(frozen=True)
class Server:
    """A running service: its process, port and log."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def check_still_answers(self) -> None:
        answer = httpx.post(f"http://127.0.0.1:{self.port}{IMAGE}", json=GOOD, timeout=60)
        assert answer.status_code == 200, answer.text

    def send(self, pieces: Iterable[bytes]) -> tuple[int, dict[str, Any]]:
        """Send the bytes of a request on a connection of its own; returns the status and JSON of the answer."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before its end
            return answer_on(connection)

    def memory(self, *, peak: bool = False) -> float:
        """Resident MB of the process, now or at most since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"Vm{'HWM' if peak else 'RSS'}:\s+(\d+) kB", status)[0]) / 1024

    @contextmanager
    def growing_less_than(self, megabytes: float) -> Iterator[None]:
        """The process never takes so much more than at the beginning."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = self.memory()
        yield
        growth = self.memory(peak=True) - before
        assert growth < megabytes, f"grew by {growth:.0f} MB"


@contextmanager
def started(log: Path, descriptors: int | None = None, /, **settings: str) -> Iterator[Server]:
    """Start a service on a free port; in the end its log must hold no trace."""
    with process.started(log, descriptors, **settings) as (service, address):
        process.wait_for(service, log, "ready; loaded")
        yield Server(service, urlsplit(address).port or 0, log)
        assert service.poll() is None, log.read_text()
    _, trace, text = log.read_text().partition("Traceback")
    assert not trace, text[:5000]


def answers_on(connection: socket.socket, count: int) -> list[tuple[int, dict[str, Any]]]:
    """The next answers, each its status and JSON; the text of a failure shows nothing of the inside."""
    answers = []
    with connection.makefile("rb") as stream:
        for _ in range(count):
            start = stream.readline()
            assert start.startswith(b"HTTP/1.1 "), start
            headers = parse_headers(stream)
            text = stream.read(int(headers["content-length"])).decode()
            status = int(start.split()[1])
            if status != 200:
                check_shows_no_inside(text)
            assert headers["x-request-id"]
            answers.append((status, json.loads(text)))
    return answers


def answer_on(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The next answer, when no other follows."""
    return answers_on(connection, 1)[0]


def code_of(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    status, body = answer
    assert set(body["error"]) == {"code", "message", "param"}
    return status, body["error"]["code"]


def head(path: str = IMAGE, *lines: str, method: str = "POST", kind: str = "application/json") -> bytes:
    """The head of a request that has a body."""
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *lines, "", ""]
    ).encode()
