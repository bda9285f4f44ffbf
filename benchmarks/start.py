"""Time and memory that a service takes until it is ready: python -m benchmarks.start

The service is started several times with each engine, with the store's models in memory. Core time is that of all of
its processes; on a machine that is not idle it says more than the wall time. Memory is proportional (PSS), of all
processes together.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx

from benchmarks.machine import describe_machine, print_header, print_row
from benchmarks.processes import cpu_seconds, descendants, memory
from tests.service.process import environment, wait_for

ROOT = Path(__file__).parents[1]
ENGINES = {"event": "event engine", "torchscript": "TorchScript"}


def main() -> None:
    """Print a row for each engine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {engine: [] for engine in ENGINES}
    for _ in range(options.rounds):
        for engine, measured in found.items():
            measured.append(start(engine, options.store))
    print(f"{describe_machine()}; {options.rounds} starts\n")
    print_header("engine", "s until ready", "core s until ready", "PSS MiB")
    for engine, measured in found.items():
        wall, core, pss = (median(column) for column in zip(*measured, strict=True))
        print_row(ENGINES[engine], f"{wall:.2f}", f"{core:.2f}", f"{pss:.0f}")


def start(engine: str, store: Path) -> tuple[float, float, float]:
    """Seconds and core seconds until the service is ready, and its memory in MiB."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "log")
        settings = environment(
            PORT="0", ENGINE=engine, DEVICE="cpu", PRELOAD="*", MODEL_STORE=str(store.absolute()), DATA_DIR=scratch
        )
        begun = time.perf_counter()
        with log.open("wb") as errors:
            process = subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=settings, stderr=errors)
        try:
            address = wait_for(process, log, r"running on (http://\S+)")
            while httpx.get(f"{address}/health/ready").status_code != httpx.codes.OK:
                time.sleep(0.01)
            seconds = time.perf_counter() - begun
            processes = list(descendants(process.pid))
            return seconds, cpu_seconds(processes), memory(processes)[1]
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
