"""What the service adds to a request: a trivial model beside plain FastAPI routes.

    python -m benchmarks.overhead [--seconds 5]

The model is one layer of ten neurons on an 8 x 8 image, so that nearly all of a request is HTTP, decoding, the queue
and the answer. The plain routes (benchmarks/plain.py) take the same PNG and give the same JSON: `plain` does nothing
with it, `forward` decodes it and runs the network in the route. `through FastAPI` is the service with FastAPI running
the route that it otherwise only documents (service/http/direct_route.py). Each server has one core and k6 another; they
take turns.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.load import ROOT, closed_loop, free_port, server, service
from benchmarks.machine import describe_machine, print_header, print_row, times_faster
from contract.store import Store

CLIENTS = 16
ROUNDS = 3
TRIVIAL = ["--preset", "digits-stl", "--name", "trivial", "--network", "VOTE1", "--timesteps", "1", "--epochs", "1"]


def train_trivial(folder: Path) -> Path:
    """A store with the trivial model."""
    store = folder / "store"
    places = ["--store", str(store), "--run-dir", str(folder / "run")]
    command = [sys.executable, "-m", "training", "train", *TRIVIAL, *places]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return store


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each run (default: %(default)s)")
    options = parser.parse_args()
    body = (ROOT / "examples" / "digit.png").read_bytes()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        store = train_trivial(Path(folder))
        port = free_port()
        checkpoint = str(Store(store).checkpoint_path("trivial", 1))
        command = [sys.executable, "-m", "benchmarks.plain", checkpoint, "--port", str(port)]
        plain = servers.enter_context(server(command, port, ready="/health", environment={}))
        settings = {"SNN_MODEL_STORE": str(store), "SNN_THREADS": "1"}
        ours = servers.enter_context(service(settings))
        indirect = servers.enter_context(service(settings, module="benchmarks.indirect"))
        routes = {
            "service": f"{ours}/v1/models/trivial/predict",
            "through FastAPI": f"{indirect}/v1/models/trivial/predict",
            "plain": f"{plain}/plain",
            "forward": f"{plain}/forward",
        }
        for url in routes.values():
            closed_loop(url, body, clients=CLIENTS, seconds=2)
        rates: dict[str, list[float]] = {name: [] for name in routes}
        for _ in range(ROUNDS):
            for name, url in routes.items():
                result = closed_loop(url, body, clients=CLIENTS, seconds=options.seconds)
                if result.failed:
                    raise SystemExit(f"{result.failed} requests of {name} failed")
                rates[name].append(result.per_second)

    print(f"{describe_machine()}\n")
    print_header("route", "answers/s", "service is")
    for name, found in rates.items():
        # a rate is the inverse of a time: the slower of two has the lower one
        ratio = "" if name == "service" else times_faster(found, rates["service"])
        print_row(name, f"{median(found):,.0f}", ratio)


if __name__ == "__main__":
    main()
