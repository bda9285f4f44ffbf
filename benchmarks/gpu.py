"""Throughput of the scripted networks on a GPU, by batch size: python -m benchmarks.gpu

Whole calls, with the coding of the images and the transfer of the results, in answers a second; the least time of all
turns counts. `make test-gpu` checks the numbers. `--device cpu` tries the program without a GPU.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe_machine, positive, print_header, print_row
from contract.store import Store
from service.engine.device import Device
from service.engine.interface import ImageSample
from service.engine.torchscript import TorchScriptEngine

ROOT = Path(__file__).parents[1]
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def main() -> None:
    """Print a table with a row for each batch size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="default: %(default)s")
    parser.add_argument("--models", nargs="+", default=["mnist-stl", "fashion-stl"], help="image models in the store")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    parser.add_argument("--batch-sizes", nargs="+", type=positive, default=BATCH_SIZES)
    parser.add_argument("--rounds", type=positive, default=20, help="turns of each batch size (default: %(default)s)")
    options = parser.parse_args()
    device = Device.parse(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device; --device cpu tries the program without one")
    where = torch.cuda.get_device_name(options.device) if device.type == "cuda" else "on the CPU"
    print(f"{describe_machine()}; {where}\n")
    store = Store(options.store)
    engines = [TorchScriptEngine.load(store.newest(name), device) for name in options.models]
    print_header("batch size", *(f"{name}, answers/s" for name in options.models))
    for size in options.batch_sizes:
        print_row(str(size), *(f"{answers_per_second(engine, size, options.rounds):,.0f}" for engine in engines))


def answers_per_second(engine: TorchScriptEngine, size: int, rounds: int) -> float:
    """Of whole calls on one batch, the fastest."""
    rng = np.random.default_rng(0)
    lit = rng.random((size, *engine.card.input.shape)) < 0.25  # as in pictures of digits
    samples = [ImageSample((image * 255).astype(np.uint8), seed) for seed, image in enumerate(lit)]
    for _ in range(3):  # torch compiles in the first calls
        engine.run(samples)
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        engine.run(samples)  # which returns when the results are here
        times.append(time.perf_counter() - begun)
    return size / min(times)


if __name__ == "__main__":
    main()
