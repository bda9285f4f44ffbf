"""Honest clients during attacks: how long the service is silent, what it answers, and the memory it takes.

    python -m benchmarks.attacks [--seconds 10] [--memory-mib 2048] [--only TEXT ...] [--checkout FOLDER]

The service runs with its default settings in a cgroup with Compose's memory limit, where this user may make one. During
each attack one client asks for `/health/live` every 20 ms and another one for a prediction every 100 ms, each from a
process of its own; the attackers share another one. All of them share the machine's cores. `--checkout` runs the
service of another working tree, for a comparison.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.attacks.attackers import Answers, Attacker, attacking
from benchmarks.attacks.catalogue import CATALOGUE
from benchmarks.attacks.memory_limit import MemoryGroup, memory_limit
from benchmarks.attacks.probe import Seen, probing
from benchmarks.attacks.requests import IMAGES, Address, Request, post, send
from benchmarks.load import ROOT, free_port
from benchmarks.machine import describe_machine, print_header, print_row

COLUMNS = ("attack", "health p99 ms", "longest silence ms", "predictions answered", "their p99 ms", "peak MiB")
HEALTH = Request("GET", "/health/live")


class Service:
    """The service in a process of its own, started again when an attack has ended it."""

    def __init__(self, checkout: Path, data: Path, group: MemoryGroup | None) -> None:
        self.address: Address = ("127.0.0.1", free_port())
        self._checkout, self._data, self._group = checkout, data, group
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it does not run."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        settings = {
            "SNN_PORT": str(self.address[1]),
            "SNN_DATA_DIR": str(self._data),
            "SNN_MODEL_STORE": str(ROOT / "model_store"),
            "SNN_LOG_LEVEL": "error",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=self._checkout,
            env=dict(os.environ) | settings,
            stderr=subprocess.DEVNULL,
            preexec_fn=self._group.enter if self._group else None,
        )
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{self.address[1]}/health/ready").status_code == 200:
                    return
            time.sleep(0.2)
        raise SystemExit("the service did not become ready")

    def stop(self) -> str:
        """Send SIGTERM; returns how it ended."""
        if self._process is None:
            return ""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "it did not end within 60 s of SIGTERM"
        return f"it ended {time.monotonic() - began:.1f} s after SIGTERM with exit status {status}"


def wait_until_idle(address: Address, prediction: Request) -> None:
    """Wait until five predictions in a row are answered, at most 60 s."""
    in_a_row, ends = 0, time.monotonic() + 60
    while in_a_row < 5 and time.monotonic() < ends:
        try:
            in_a_row = in_a_row + 1 if send(address, prediction, timeout=5) == 200 else 0
        except OSError:
            in_a_row = 0
        time.sleep(0.2)


@contextlib.contextmanager
def running(options: argparse.Namespace) -> Iterator[tuple[Service, MemoryGroup | None]]:
    """The service in its cgroup."""
    with tempfile.TemporaryDirectory() as folder, memory_limit(options.memory_mib * 2**20) as group:
        if group is None:
            print("without a memory limit: this user may not make a cgroup\n")
        service = Service(options.checkout, Path(folder), group)
        service.start()
        try:
            yield service, group
        finally:
            print(f"\nafter the last attack {service.stop()}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each attack (default: %(default)s)")
    parser.add_argument("--memory-mib", type=int, default=2048, help="memory limit (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="attacks with this in their name")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="working tree of the service (default: this one)")
    options = parser.parse_args()
    prediction = post(IMAGES, (ROOT / "examples" / "digit.png").read_bytes(), "image/png")
    print(f"{describe_machine()}\n")
    with running(options) as (service, group):
        print_header(*COLUMNS, "answers to the attack")
        for name, prepare in CATALOGUE.items():
            if not any(text in name for text in options.only):
                continue
            attackers = prepare(service.address)
            wait_until_idle(service.address, prediction)
            if group is not None:
                group.forget_peak()
            kills = group.kills() if group else 0
            health, honest, answers = attack(service, attackers, prediction, options.seconds)
            memory = f"{group.peak_bytes / 2**20:,.0f}" if group else ""
            killed = group is not None and group.kills() > kills
            said = ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
            row = (f"{health.p99:,.0f}", f"{health.longest:,.0f}", f"{honest.share_answered:.0%}", f"{honest.p99:,.0f}")
            print_row(name, *row, memory, said + (", **a process was killed**" if killed else ""))
            if service.has_ended:
                service.start()


def attack(
    service: Service, attackers: tuple[Attacker, ...], prediction: Request, seconds: float
) -> tuple[Seen, Seen, Answers]:
    """Attack for so long; returns what the two honest clients saw, and the answers to the attackers."""
    with (
        probing(service.address, HEALTH, interval=0.02) as health,
        probing(service.address, prediction, interval=0.1) as honest,
    ):
        time.sleep(2)  # both of them run
        with attacking(attackers, service.address) as answers:
            time.sleep(seconds)
    return health, honest, answers


if __name__ == "__main__":
    main()
