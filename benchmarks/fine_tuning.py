"""What a fine-tuning costs those who ask for predictions, and how long it takes to go on after a kill.

    python -m benchmarks.fine_tuning [--seconds 20]

A service and a worker run as `make serve` runs them, on a copy of the shipped models: digits-stl is fine-tuned on
scikit-learn's digits turned by 90 degrees, while one client asks for predictions, one after another. A recovery ends
with the first epoch, or step, that is told after the kill.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from benchmarks.load import ROOT, free_port
from benchmarks.machine import describe_machine, positive, print_header, print_row
from contract.job_events import EpochDone, Progress, read_events
from contract.job_spec import JOBS_FOLDER

MODEL = "digits-stl"
EPOCHS = 1000  # more than there is time for
PATIENCE_SECONDS = 120.0
ROUNDS = 3


class Place:
    """A store, a data folder, an address, and how to start what works on them."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ROOT / "model_store" / MODEL, folder / "store" / MODEL)
        self.folder = folder
        self.address = f"http://127.0.0.1:{(port := free_port())}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SNN_")}
        self.environment = clean | {
            "SNN_PORT": str(port),
            "SNN_MODEL_STORE": str(folder / "store"),
            "SNN_DATA_DIR": str(folder / "data"),
            "SNN_DEVICE": "cpu",
            "SNN_LOG_LEVEL": "warning",
        }

    def start(self, *module: str) -> subprocess.Popen[bytes]:
        """One of the two processes."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=self.environment, stderr=log)

    def is_ready(self) -> bool:
        """Whether the service answers."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.address}/health/ready").status_code == 200
        return False

    def steps(self, job: str) -> int:
        """How often the job has reported progress."""
        events = read_events(self.folder / "data" / JOBS_FOLDER / job)
        return sum(isinstance(event.data, EpochDone | Progress) for _, event in events)


@contextlib.contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which is gone at the end."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_for(condition: Callable[[], bool]) -> float:
    """Seconds until the condition holds."""
    started = time.perf_counter()
    while not condition():
        if time.perf_counter() - started > PATIENCE_SECONDS:
            raise SystemExit("it did not happen in time; is the machine busy?")
        time.sleep(0.01)
    return time.perf_counter() - started


def submit(place: Place) -> str:
    """Upload the turned digits and start a job on them."""
    values, targets = load_digits(return_X_y=True)
    pixels = np.rot90(np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), axes=(1, 2))
    path = place.folder / "turned.npz"
    np.savez(path, x=pixels, y=targets)
    with path.open("rb") as file:
        form = {"purpose": "fine-tune"}
        upload = httpx.post(f"{place.address}/v1/files", files={"file": file}, data=form, timeout=60)
    body = {
        "model": MODEL,
        "training_file": upload.raise_for_status().json()["id"],
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": EPOCHS}}},
    }
    job = httpx.post(f"{place.address}/v1/fine_tuning/jobs", json=body, timeout=60)
    return str(job.raise_for_status().json()["id"])


def latencies(place: Place, seconds: float) -> list[float]:
    """Milliseconds of each request of one client, sorted."""
    image = (ROOT / "examples" / "digit.png").read_bytes()
    found = []
    with httpx.Client(base_url=place.address, headers={"Content-Type": "image/png"}, timeout=60) as client:
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            started = time.perf_counter()
            client.post(f"/v1/models/{MODEL}/predict", content=image).raise_for_status()
            found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def kill_child(worker: subprocess.Popen[bytes]) -> None:
    """Kill the job's process."""
    for task in Path(f"/proc/{worker.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), signal.SIGKILL)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=positive, default=20, help="of each run of requests (default: %(default)s)")
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Place(Path(folder))
        service = stack.enter_context(ending(place.start("service")))
        wait_for(place.is_ready)
        latencies(place, 2)
        without = latencies(place, options.seconds)
        job = submit(place)
        worker = stack.enter_context(ending(place.start("training", "worker")))
        wait_for(lambda: place.steps(job) > 0)
        beside = latencies(place, options.seconds)
        print_header("one client", "requests/s", "p50 ms", "p95 ms", "p99 ms")
        for name, times in (("no job", without), ("with a job", beside)):
            percentiles = [f"{np.percentile(times, share):.1f}" for share in (50, 95, 99)]
            print_row(name, f"{len(times) / options.seconds:,.0f}", *percentiles)
        print(f"\np99 with a job is {np.percentile(beside, 99) / np.percentile(without, 99):.2f} times that without\n")

        print_header("kill -9 of", "seconds until", *(f"run {number}" for number in range(1, ROUNDS + 1)))
        recovered: dict[str, list[float]] = {"child": [], "worker": [], "service": []}
        for _ in range(ROUNDS):
            seen = place.steps(job)
            kill_child(worker)
            recovered["child"].append(wait_for(lambda seen=seen: place.steps(job) > seen))  # type: ignore[misc]
            worker.kill()
            worker.wait()
            seen = place.steps(job)
            worker = stack.enter_context(ending(place.start("training", "worker")))
            recovered["worker"].append(wait_for(lambda seen=seen: place.steps(job) > seen))  # type: ignore[misc]
            service.kill()
            service.wait()
            service = stack.enter_context(ending(place.start("service")))
            recovered["service"].append(wait_for(place.is_ready))
        for victim, until in (("child", "it trains"), ("worker", "it trains"), ("service", "it is ready")):
            print_row(victim, until, *(f"{seconds:.1f}" for seconds in recovered[victim]))


if __name__ == "__main__":
    main()
