"""What the service adds to a request: a trivial model beside plain FastAPI routes.

    python -m benchmarks.overhead [--seconds 5] [--model mnist-stl]

The model is one layer of ten neurons on an 8 x 8 image, so that nearly all of a request is HTTP, decoding, the queue
and the answer. The plain routes (benchmarks/plain.py) take the same PNG and give the same JSON: `plain` does nothing
with it, `forward` decodes it and runs the network in the route. `through FastAPI` is the service with FastAPI running
the route that it otherwise only documents (service/http/direct_route.py). Each server has one core and k6 another; they
take turns.

The second table is the core time that an answer takes beside the network, with a bundled model: that of the service's
processes for each answer, less that of `Engine.run` alone for each sample at the batch size that the service reached.
"""

import argparse
import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.load import ROOT, SERVER_CORE, closed_loop, free_port, pin, server, service
from benchmarks.machine import describe_machine, print_header, print_row, times_faster, use_one_thread
from benchmarks.processes import children, cpu_seconds, descendants
from benchmarks.service import batches, picture
from contract.images import read_image
from contract.store import Store
from service.engine.device import CPU
from service.engine.interface import ImageSample
from service.engine.load import load_engine

CLIENTS = 16
CROWDS = (1, 8, 32)
ROUNDS = 3
TRIVIAL = ["--preset", "digits-stl", "--name", "trivial", "--network", "VOTE1", "--timesteps", "1", "--epochs", "1"]


def train_trivial(folder: Path) -> Path:
    """A store with the trivial model."""
    store = folder / "store"
    places = ["--store", str(store), "--run-dir", str(folder / "run")]
    command = [sys.executable, "-m", "training", "train", *TRIVIAL, *places]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return store


def run_alone(path: Path, batch_size: int, seconds: float) -> float:
    """Core microseconds a sample of `Engine.run` alone, on the server's core."""
    pin(SERVER_CORE)
    use_one_thread()
    engine = load_engine(path, CPU)
    image = read_image(picture(path), engine.card.input, max_pixels=1_000_000)
    samples = [ImageSample(image.pixels)] * batch_size
    engine.run(samples)
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.thread_time()
        engine.run(samples)
        taken.append(time.thread_time() - started)
    return median(taken) / batch_size * 1e6


def beside_the_network(model: str, seconds: float) -> None:
    """Measure and print the second table."""
    path = Store(ROOT / "model_store").newest(model)
    body = picture(path)
    print_header("clients", "core µs an answer", "batch size", "`run` alone, µs", "beside `run`, µs")
    others = children(os.getpid())
    with service({"SNN_PRELOAD": model, "SNN_THREADS": "1"}) as address:
        [process] = children(os.getpid()) - others
        url = f"{address}/v1/models/{model}/predict"
        for clients in CROWDS:
            closed_loop(url, body, clients=clients, seconds=2)
            core, sizes = [], []
            for _ in range(ROUNDS):
                rows, runs = batches(address)
                spent = cpu_seconds(descendants(process))
                answers = closed_loop(url, body, clients=clients, seconds=seconds).accepted
                core.append((cpu_seconds(descendants(process)) - spent) / answers * 1e6)
                more_rows, more_runs = batches(address)
                sizes.append((more_rows - rows) / (more_runs - runs))
            size = max(1, round(median(sizes)))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                alone = pool.apply(run_alone, (path, size, seconds))
            beside = [each - alone for each in core]
            spread = f"{median(beside):.0f} ({min(beside):.0f}..{max(beside):.0f})"
            print_row(str(clients), f"{median(core):.0f}", str(size), f"{alone:.0f}", spread)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each run (default: %(default)s)")
    parser.add_argument("--model", default="mnist-stl", help="a bundled image model (default: %(default)s)")
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
    print(f"\n{options.model}\n")
    beside_the_network(options.model, options.seconds)


if __name__ == "__main__":
    main()
