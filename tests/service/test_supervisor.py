"""Several real processes on one port."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.service.process import started
from tests.service.prometheus import parse

PREDICT = "/v1/models/tiny-image/predict"
BODY = {"inputs": [{"pixels": [[9] * 8] * 8}]}
CLIENTS = 4


class Clients:
    """Clients that ask for predictions, each one after the other on a connection of its own, until `stop`."""

    def __init__(self, address: str) -> None:
        self.answers: list[httpx.Response] = []
        self.failures: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(address,), daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, address: str) -> None:
        with httpx.Client(base_url=address, timeout=30) as client:
            while not self._stop.is_set():
                started_at = time.monotonic()
                try:
                    self.answers.append(client.post(PREDICT, json=BODY))
                except httpx.TransportError:
                    self.failures.append(started_at)
                time.sleep(0.01)


def children(process: int) -> list[int]:
    """The processes that serve: those of the supervisor's children that have a folder for their metrics."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        found += [int(each) for each in (task / "children").read_text().split()]
    return [each for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def until(condition: Callable[[], Any]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_processes_share_a_port_add_up_their_metrics_replace_a_dead_one_and_leave_together(
    tiny_store_root: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    settings = {"MODEL_STORE": str(tiny_store_root), "PRELOAD": "tiny-image", "DRAIN_SECONDS": "0", "WORKERS": "2"}
    with started(log, **settings) as (supervisor, address):
        serving = "Uvicorn running on"
        until(lambda: log.read_text().count(serving) == 2)
        before = children(supervisor.pid)
        assert len(before) == 2

        clients = Clients(address)
        until(lambda: len(clients.answers) > 40)
        clients.stop()
        found = parse(httpx.get(f"{address}/metrics").text)
        assert found["snn_predictions_total", frozenset({("model", "tiny-image")})] == len(clients.answers)
        assert found["snn_models_loaded", frozenset()] == 2
        folder = metrics_folder(before[0])
        assert {int(file.stem.split("_")[1]) for file in folder.glob("counter_*.db")} == set(before)

        clients = Clients(address)
        until(lambda: len(clients.answers) > 20)
        killed_at = time.monotonic()
        os.kill(before[0], signal.SIGKILL)
        until(lambda: log.read_text().count(serving) == 3)
        assert len(set(children(supervisor.pid)) & set(before)) == 1
        enough = len(clients.answers) + 20
        until(lambda: len(clients.answers) > enough)
        asked_at = time.monotonic()
        supervisor.send_signal(signal.SIGTERM)
        clients.stop()
        assert supervisor.wait(20) == 0
    assert {answer.status_code for answer in clients.answers} == {200}
    assert len({str(answer.json()["predictions"]) for answer in clients.answers}) == 1
    noticed = [at - killed_at for at in clients.failures if at < asked_at]
    assert len(noticed) <= CLIENTS  # the connections of the dead process
    assert all(seconds < 0.5 for seconds in noticed)
    assert not folder.exists()
    assert "Traceback" not in log.read_text()


def metrics_folder(process: int) -> Path:
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    [folder] = [each.split(b"=")[1].decode() for each in environment if each.startswith(b"PROMETHEUS_MULTIPROC_DIR=")]
    return Path(folder)
