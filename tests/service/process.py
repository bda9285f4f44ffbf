"""The service in a process of its own."""

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings, named without `SNN_`, in place of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SNN_")}
    return clean | {f"SNN_{name}": value for name, value in settings.items()}


@contextmanager
def started(
    log: Path, descriptors: int | None = None, /, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A service on a free port and its address, read from its log; killed at the end. Its data lies beside the log.

    With `descriptors` it can have no more files open than these.
    """

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    settings = {"PORT": "0", "DATA_DIR": str(log.parent / "data")} | settings
    with log.open("wb") as errors:
        command = [sys.executable, "-m", "service"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(**settings), stderr=errors, preexec_fn=limit)
    try:
        yield process, wait_for(process, log, r"running on (http://\S+)")
    finally:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], log: Path, pattern: str, seconds: float = 120) -> str:
    """Wait until the log of a running process matches; returns the pattern's first group, or else the whole match."""
    deadline = time.monotonic() + seconds
    while not (match := re.search(pattern, log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return match[1] if match.re.groups else match[0]
