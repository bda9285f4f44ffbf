"""A running service for clients of the Open Inference Protocol, which have an environment of their own.

`make test-v2` runs these tests with the interpreter of that environment, in which the project is not installed.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.open_inference.running import ROOT, Service

SERVICE_PYTHON = os.environ.get("SERVICE_PYTHON", str(ROOT / ".venv" / "bin" / "python"))

collect_ignore_glob = [] if find_spec("tritonclient") else ["test_*.py"]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    log = folder / "log"
    settings = {
        "SNN_PORT": "0",
        "SNN_GRPC_PORT": "0",
        "SNN_DATA_DIR": str(folder / "data"),
        "SNN_PRELOAD": "digits-stl,nmnist-stl",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SNN_", "PYTHON"))}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [SERVICE_PYTHON, "-m", "service"], cwd=ROOT, env=environment | settings, stderr=errors
        )
    try:
        grpc_port = _wait_for(process, log, r"gRPC listens on \S+ port (\d+)")
        found = _wait_for(process, log, r"running on http://(\S+)")
        _wait_for(process, log, "(ready; loaded)")
        yield Service(found, f"127.0.0.1:{grpc_port}")
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(process: subprocess.Popen[bytes], log: Path, pattern: str) -> str:
    for _ in range(2400):
        if found := re.search(pattern, log.read_text()):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
