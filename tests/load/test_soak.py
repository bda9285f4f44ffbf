"""Ten thousand requests, or more, on a real service whose models change all along, and an overload; prints figures."""

import http.client
import json
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.service.process import started

pytestmark = pytest.mark.long

REQUESTS = 10_000
WARM = 2_000
CLIENTS = 8
CYCLES = 200
CHANGES = ("loaded", "unloaded", "promoted", "rolled back")
VERSIONS = (1, 2, 3, 4)
MEMORY_GROWTH_BYTES = 64 * 1024 * 1024
PATIENCE = 300


class Caller:
    """One connection that is kept."""

    def __init__(self, address: str) -> None:
        where = urlsplit(address)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if answer.headers["Content-Type"] == "application/json" else data


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def milliseconds(values: list[float]) -> str:
    return ", ".join(f"p{share} {np.percentile(values, share):.1f} ms" for share in (50, 95, 99)) if values else "none"


def in_threads(number: int, work: Callable[[int], None]) -> None:
    """Run `work` in as many threads; the first failure of one is raised."""
    failures: list[Exception] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.fixture
def store(store_root: Path) -> Path:
    for number in VERSIONS[2:]:
        shutil.copytree(store_root / "tiny-image" / str(number - 2), store_root / "tiny-image" / str(number))
    return store_root


def until_ready(call: Caller) -> None:
    ends = time.monotonic() + PATIENCE
    while call("GET", "/health/ready")[0] != 200:
        assert time.monotonic() < ends
        time.sleep(0.05)


def image(seed: int, rows: int = 1) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, 8, 8))
    return {"inputs": [{"pixels": plane.tolist(), "seed": seed} for plane in pixels]}


def told(answer: Any) -> list[tuple[int, float, int]]:
    return [(each["class_id"], each["score"], each["spikes"]["total"]) for each in answer["predictions"]]


def test_ten_thousand_requests_while_the_models_change(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    choices = {"MODEL_STORE": str(store), "PRELOAD": "tiny-image,tiny-events", "POLL_SECONDS": "0.2"}
    with started(log, **choices) as (process, address), Caller(address) as first:
        until_ready(first)
        # Versions 3 and 4 are copies of 1 and 2: what an input gets depends on the version alone.
        expected = {
            (number, seed): told(first("POST", f"/v1/models/tiny-image/predict?version={number}", image(seed))[1])
            for number in VERSIONS
            for seed in range(16)
        }
        numbers, statuses, changes = count(), Counter[int](), Counter[str]()
        times: list[float] = []
        lives: list[float] = []
        memory: dict[str, int] = {}
        over = threading.Event()

        def predict(index: int) -> None:
            with Caller(address) as call:
                while (number := next(numbers)) < REQUESTS or min(changes[what] for what in CHANGES) < CYCLES:
                    if number == WARM:
                        memory["warm"] = resident_bytes(process.pid)
                    seed = number % 16
                    asked = (None, *VERSIONS)[number % 5]
                    query = "" if asked is None else f"?version={asked}"
                    begun = time.perf_counter()
                    status, answer = call("POST", f"/v1/models/tiny-image/predict{query}", image(seed))
                    times.append((time.perf_counter() - begun) * 1000)
                    statuses[status] += 1
                    assert status in (200, 429), (status, answer)
                    if status == 200:
                        assert asked in (None, answer["version"])
                        assert told(answer) == expected[answer["version"], seed]

        def change(index: int) -> None:
            with Caller(address) as call:
                versions = "/v1/models/tiny-image/versions"
                while not over.is_set():
                    for number in VERSIONS[1:]:
                        default = {"version": number, "expected": 1}
                        steps: list[tuple[str, str, str, Any]] = [
                            ("unloaded", "POST", f"{versions}/{number}/unload", None),
                            ("loaded", "POST", f"{versions}/{number}/load", None),
                            ("unloaded", "POST", f"{versions}/{number}/unload", None),
                            ("promoted", "PUT", "/v1/models/tiny-image/default", default),
                            ("unloaded", "POST", f"{versions}/1/unload", None),
                            ("rolled back", "PUT", "/v1/models/tiny-image/default", {"version": 1}),
                        ]
                        for what, method, path, sent in steps:
                            status, answer = call(method, path, sent)
                            assert status == 200, (what, answer)
                            changes[what] += 1

        def watch(index: int) -> None:
            with Caller(address) as call:
                while not over.is_set():
                    begun = time.perf_counter()
                    assert call("GET", "/health/live")[0] == 200
                    lives.append((time.perf_counter() - begun) * 1000)
                    assert call("GET", "/health/ready")[0] == 200
                    time.sleep(0.02)

        def work(index: int) -> None:
            if index < CLIENTS:
                try:
                    predict(index)
                finally:
                    finished.release()
            else:
                (change, watch)[index - CLIENTS](index)

        finished = threading.Semaphore(0)

        def end() -> None:
            for _ in range(CLIENTS):
                finished.acquire()
            over.set()

        ending = threading.Thread(target=end)
        ending.start()
        begun = time.monotonic()
        in_threads(CLIENTS + 2, work)
        ending.join()
        seconds = time.monotonic() - begun
        memory["end"] = resident_bytes(process.pid)
        process.terminate()
        assert process.wait(60) == 0
    print(
        f"\n{sum(statuses.values())} requests in {seconds:.0f} s, by status {dict(statuses)}; models {dict(changes)}"
        f"\nanswers: {milliseconds(times)}; liveness: {milliseconds(lives)}"
        f"\nmemory: {memory['warm'] / 1e6:.0f} MB after {WARM} requests, {memory['end'] / 1e6:.0f} MB at the end"
    )
    assert sum(statuses.values()) >= REQUESTS
    assert min(changes[what] for what in CHANGES) >= CYCLES
    assert memory["end"] - memory["warm"] < MEMORY_GROWTH_BYTES
    assert "Traceback" not in log.read_text()


def test_an_overload_is_refused_and_leaves_nothing_behind(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    choices = {"MODEL_STORE": str(store), "PRELOAD": "tiny-image", "MAX_QUEUE_SIZE": "8", "MAX_BATCH_SIZE": "8"}
    with started(log, **choices) as (process, address), Caller(address) as first:
        until_ready(first)
        statuses = Counter[int]()
        lives: list[float] = []
        refusals: list[float] = []
        sent = image(1, rows=32)
        over = threading.Event()

        def work(index: int) -> None:
            with Caller(address) as call:
                if index == 0:
                    while not over.is_set():
                        begun = time.perf_counter()
                        assert call("GET", "/health/live")[0] == 200
                        lives.append((time.perf_counter() - begun) * 1000)
                        assert call("GET", "/health/ready")[0] == 200
                        time.sleep(0.02)
                while not over.is_set():
                    begun = time.perf_counter()
                    status, answer = call("POST", "/v1/models/tiny-image/predict", sent)
                    statuses[status] += 1
                    assert status in (200, 429), answer
                    if status == 429:
                        refusals.append((time.perf_counter() - begun) * 1000)

        ending = threading.Timer(20, over.set)
        ending.start()
        in_threads(33, work)
        with Caller(address) as last:
            assert last("POST", "/v1/models/tiny-image/predict", image(2))[0] == 200
            metrics = last("GET", "/metrics")[1].decode()
        process.terminate()
        assert process.wait(60) == 0
    print(f"\nby status {dict(statuses)}; refusals, as their clients see them: {milliseconds(refusals)}")
    print(f"liveness, with the load generator on the same cores: {milliseconds(lives)}")
    assert statuses[429] > 0
    assert statuses[200] > 0
    assert re.search(r"^snn_queue_depth 0\.0$", metrics, re.M)
    assert re.search(r"^snn_queue_bytes 0\.0$", metrics, re.M)
