"""A real TorchServe on free ports, with the configuration that the project ships."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from contract.settings import PREFIX
from contract.store import Store
from training.export.torchserve_archive import WorkerConfig, archive

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "torchserve" / "config.properties"
QUEUE = 8
"""Requests that wait for one model's worker; one more is refused."""
_PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")


class TorchServe:
    """Started by hand and stopped by hand; `archives` is its model store."""

    def __init__(self, archives: Path, **properties: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ts-"))
        self.archives = archives
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self.url, self.management, self.metrics = (f"http://127.0.0.1:{ports[name]}" for name in _PORTS[:3])
        changed = {f"{name}_address": f"http://127.0.0.1:{ports[name]}" for name in _PORTS[:3]}
        changed |= {f"{name}_port": str(ports[name]) for name in _PORTS[3:]} | properties
        kept = [line for line in SHIPPED.read_text().splitlines() if line.partition("=")[0] not in changed]
        (self.folder / "config.properties").write_text("\n".join([*kept, *(f"{k}={v}" for k, v in changed.items())]))
        (self.folder / "tmp").mkdir()
        self._client = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def key_file(self) -> Path:
        return self.folder / "key_file.json"

    def key(self, kind: str = "inference") -> dict[str, str]:
        return {"Authorization": f"Bearer {json.loads(self.key_file.read_text())[kind]['key']}"}

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        places = {"TMPDIR": str(self.folder / "tmp"), "TEMP": str(self.folder / "tmp"), "SNN_THREADS": "1"}
        self.key_file.unlink(missing_ok=True)
        arguments = ["--start", "--foreground", "--ncs", "--model-store", str(self.archives)]
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [Path(sys.executable).parent / "torchserve", *arguments, "--ts-config", "config.properties"],
                cwd=self.folder,
                env=environment | places,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wait_for("/ping", lambda answer: "Unhealthy" not in answer.text)

    def wait_for(self, path: str, is_there: Any = None, *, seconds: float = 120, **request: Any) -> httpx.Response:
        """Ask until the answer is 200, and `is_there` likes it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                answer = httpx.request(request.get("method", "GET"), self.url + path, headers=self.key())
                if answer.status_code == 200 and (is_there is None or is_there(answer)):
                    return answer
            except (httpx.TransportError, OSError, ValueError, LookupError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"TorchServe is not there:\n{(self.folder / 'output').read_text()[-3000:]}")

    def register(self, mar: Path) -> None:
        parameters = {"url": mar.name, "initial_workers": "1", "synchronous": "true"}
        answer = httpx.post(f"{self.management}/models", params=parameters, headers=self.key("management"), timeout=120)
        assert answer.status_code == 200, answer.text

    def manage(self, method: str, path: str, **parameters: str) -> httpx.Response:
        return httpx.request(
            method, self.management + path, params=parameters, headers=self.key("management"), timeout=60
        )

    def predict(self, path: str, content: bytes, kind: str, options: dict[str, Any] | None = None) -> httpx.Response:
        headers = {f"X-SNN-{name.replace('_', '-')}": str(value) for name, value in (options or {}).items()}
        return self._client.post(
            f"{self.url}/predictions/{path}", content=content, headers=headers | {"Content-Type": kind} | self.key()
        )

    def worker(self, path: str) -> int:
        """The process id of a model's worker."""
        [model] = self.manage("GET", f"/models/{path}").json()
        [worker] = model["workers"]
        return int(worker["pid"])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        _end_group(self._process.pid)
        self._process.wait()
        self._process = None

    def remove(self) -> None:
        self.stop()
        self._client.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def write_archive(store: Path, model: str, version: int, folder: Path, **config: int) -> Path:
    path = Store(store).checkpoint_path(model, version)
    return archive(path, model, version, folder, WorkerConfig(**config))


def _end_group(group: int) -> None:
    """Java's children go with Java; those that do not within a second are killed."""
    for _ in range(10):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
