"""Clients that ask for predictions all along, and what became of each request."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

PREDICT = "/v1/models/tiny-image/predict"
SEEDS = 32
PIXELS = [[(row * 37 + column * 11) % 256 for column in range(8)] for row in range(8)]


def body(seed: int) -> bytes:
    """A prediction whose answer depends on its seed."""
    return json.dumps({"inputs": [{"pixels": PIXELS, "seed": seed}]}).encode()


def result(answer: dict[str, Any]) -> Any:
    """What is the same whenever, and wherever, a request is answered."""
    return answer["model"], answer["version"], answer["predictions"]


@dataclass
class Request:
    """One request and its outcome: the answer's status and result, or the failure of its connection."""

    id: str
    seed: int
    started: float
    ended: float = 0.0
    status: int = 0
    result: Any = None
    failure: str = ""


@dataclass
class Load:
    """Clients in threads, each with one request at a time."""

    url: str
    requests: list[Request] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def failed(self) -> list[Request]:
        """The requests that were not answered with 200."""
        return [each for each in self.requests if each.status != 200]

    def wrong(self, expected: Callable[[int], Any]) -> list[Request]:
        """The requests that were answered with 200 and another result than expected for their seed."""
        return [each for each in self.requests if each.status == 200 and each.result != expected(each.seed)]

    def _run(self, first: int) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            number = first
            while not self._stop.is_set():
                number += 1
                request = Request(uuid.uuid4().hex, number % SEEDS, time.monotonic())
                headers = {"Content-Type": "application/json", "X-Request-ID": request.id}
                try:
                    answer = client.post(PREDICT, content=body(request.seed), headers=headers)
                    request.status = answer.status_code
                    if request.status == 200:
                        request.result = result(answer.json())
                    else:
                        request.failure = answer.text[:300]
                except httpx.HTTPError as error:
                    request.failure = repr(error)
                request.ended = time.monotonic()
                self.requests.append(request)


@contextmanager
def load(url: str, clients: int) -> Iterator[Load]:
    """So many clients at work; on leaving, every request has its outcome."""
    working = Load(url)
    threads = [threading.Thread(target=working._run, args=(7 * number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield working
    finally:
        working._stop.set()
        for thread in threads:
            thread.join()
