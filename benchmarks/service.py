"""The service over HTTP: throughput beside the bare network, latency by number of clients, and what overload does.

    python -m benchmarks.service [--model mnist-stl] [--seconds 8]

The server has one core and k6 another. The bare network, with its encoding, runs on the server's core afterwards, with
the engine of the service and at the batch size that it reached.
"""

import argparse
import io
import json
import multiprocessing
import re
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.load import ROOT, SERVER_CORE, Result, closed_loop, open_loop, pin, service
from benchmarks.machine import describe_machine, print_header, print_row
from contract.card import read_card
from contract.store import Store
from service.engine.device import CPU
from service.engine.interface import ImageSample
from service.engine.load import load_engine

CLIENTS = (1, 8, 64)
SHARES = (0.5, 1.0, 2.0, 4.0)


def bare_network(path: Path, batch_size: int, seconds: float) -> float:
    """Samples a second of the engine's `run` alone, on the server's core."""
    pin(SERVER_CORE)
    engine = load_engine(path, CPU, threads=1)
    rng = np.random.default_rng(0)
    spec = engine.card.input
    lit = rng.random((batch_size, *spec.shape)) < 0.25  # as in pictures of digits
    samples = [ImageSample((each * 255).astype(np.uint8)) for each in lit]
    for _ in range(5):
        engine.run(samples)
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        engine.run(samples)
        calls += 1
    return batch_size * calls / (time.perf_counter() - started)


def apart(path: Path, batch_size: int, seconds: float) -> float:
    """The same in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(bare_network, (path, batch_size, seconds))


def picture(path: Path) -> bytes:
    """The example digit as a PNG of the model's size."""
    shape = read_card(path).input
    buffer = io.BytesIO()
    with Image.open(ROOT / "examples" / "digit.png") as digit:
        digit.resize((shape.width, shape.height)).save(buffer, "PNG")
    return buffer.getvalue()


def batches(address: str) -> tuple[float, float]:
    """Rows and batches that the service has run so far."""
    text = httpx.get(address + "/metrics").text
    found = [
        sum(map(float, re.findall(rf"^snn_batch_size_{part}{{.*}} (\S+)$", text, re.M))) for part in ("sum", "count")
    ]
    return found[0], found[1]


def row(name: str, result: Result, *rest: str) -> None:
    """One row of the latency tables."""
    times = [f"{result.accepted_ms.get(key, float('nan')):.1f}" for key in ("p(50)", "p(95)", "p(99)")]
    print_row(name, f"{result.per_second:,.0f}", *times, *rest)


def recovery(address: str, url: str, body: bytes, usual_ms: float) -> float:
    """Seconds from the end of an overload until an answer takes no more than twice its usual time."""
    started = time.perf_counter()
    with httpx.Client() as client:
        while time.perf_counter() - started < 30:
            asked = time.perf_counter()
            answer = client.post(url, content=body, headers={"Content-Type": "image/png"})
            if answer.status_code == 200 and (time.perf_counter() - asked) * 1000 <= 2 * usual_ms:
                break
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-stl", help="an image model in the store (default: %(default)s)")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store", help="default: model_store")
    parser.add_argument("--seconds", type=float, default=8, help="of each run (default: %(default)s)")
    options = parser.parse_args()
    path = Store(options.store).newest(options.model)
    body, seconds = picture(path), options.seconds

    print(describe_machine())
    settings = {"SNN_MODEL_STORE": str(options.store), "SNN_PRELOAD": options.model, "SNN_THREADS": "1"}
    with service(settings) as address:
        url = f"{address}/v1/models/{options.model}/predict"
        closed_loop(url, body, clients=8, seconds=2)
        rows, count = batches(address)
        print(f"\n{options.model}, closed loop\n")
        print_header("clients", "answers/s", "p50 ms", "p95 ms", "p99 ms", "batch", "failed")
        results = {}
        for clients in CLIENTS:
            results[clients] = closed_loop(url, body, clients=clients, seconds=seconds)
            before, (rows, count) = (rows, count), batches(address)
            batch = (rows - before[0]) / max(1.0, count - before[1])
            row(str(clients), results[clients], f"{batch:.1f}", str(results[clients].failed))
        capacity = results[CLIENTS[-1]].per_second

        print(f"\n{options.model}, open loop, of a capacity of {capacity:,.0f}/s\n")
        columns = ("load", "answers/s", "p50 ms", "p95 ms", "p99 ms", "of capacity", "offered", "refused")
        print_header(*columns, "p99 of a refusal ms", "recovery s")
        for share in SHARES:
            result = open_loop(url, body, rate=share * capacity, seconds=seconds)
            usual = results[1].accepted_ms["p(95)"]
            after = recovery(address, url, body, usual)
            refusal = result.refused_ms.get("p(99)")
            told = "" if refusal is None else f"{refusal:.1f}"
            offered = (result.accepted + result.refused) / seconds / capacity  # less than asked where k6 is behind
            shares = (f"{result.per_second / capacity:.0%}", f"{offered:.0%}", f"{result.share_refused:.1%}")
            row(f"{share:.0%}", result, *shares, told, f"{after:.2f}")

    size = max(1, round(batch))
    bare = apart(path, size, min(seconds, 4))
    print(f"\nthe bare network at batch {size}: {bare:,.0f} samples/s; the service reaches {capacity / bare:.0%} of it")
    print(json.dumps({"capacity": capacity, "bare": bare, "batch": size}))


if __name__ == "__main__":
    main()
