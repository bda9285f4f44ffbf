"""The service beside other servers of the same checkpoint: throughput, latency and memory by number of clients.

    python -m benchmarks.servers [--servers litserve fastapi] [--clients 1 8 32] [--seconds 5]

Each server, with all of its processes, has one core, and k6 another. The others:

- `in-front`: the service in front of TorchServe, both on the one core;
- `torchserve`: TorchServe alone, with the project's handler;
- `litserve`: LitServe, batching (benchmarks/lit.py);
- `fastapi`: a FastAPI route around the network, one request at a time (`/forward` of benchmarks/plain.py).

Before anything is timed, their answers to some images are compared. Then they take turns; those that wait are stopped
(SIGSTOP), since some of them look at their queues a thousand times a second.
"""

import argparse
import contextlib
import importlib.util
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import torch
from PIL import Image, ImageOps

from benchmarks.load import ROOT, SERVER_CORE, Result, closed_loop, free_port, pin, server, service
from benchmarks.machine import describe_machine, positive, print_header, print_row, times_faster
from benchmarks.processes import children, descendants, memory, tell
from service.card import InputSpec
from service.checkpoint import Checkpoint
from service.store import Store
from tests.torchserve.server import TorchServe, write_archive

OURS = "service"
OTHERS = ("in-front", "torchserve", "litserve", "fastapi")
PNG = {"Content-Type": "image/png"}


@dataclass(frozen=True)
class Contestant:
    """A running server: where it is asked, with which headers, and its processes without their descendants."""

    url: str
    roots: frozenset[int]
    headers: Mapping[str, str] = field(default_factory=dict)

    def processes(self) -> set[int]:
        """All that it runs in."""
        return {process for root in self.roots for process in descendants(root)}


def left_out(names: Sequence[str]) -> dict[str, str]:
    """Which of these cannot be started here, and why."""
    reasons = {}
    if not (Path(sys.executable).parent / "torchserve").exists():
        reasons |= dict.fromkeys(("in-front", "torchserve"), "TorchServe is not installed (the extra `torchserve`)")
    elif shutil.which("java") is None:
        reasons |= dict.fromkeys(("in-front", "torchserve"), "TorchServe needs Java, which is not on the PATH")
    if importlib.util.find_spec("litserve") is None:
        reasons["litserve"] = "LitServe is not installed (the extra `benchmarks`)"
    return {name: reasons[name] for name in names if name in reasons}


@contextlib.contextmanager
def torchserve(store: Path, model: str) -> Iterator[TorchServe]:
    """TorchServe with the model's archive, on the server's core."""
    usual = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        write_archive(store, model, 1, Path(folder))
        running = TorchServe(Path(folder))
        try:
            pin(SERVER_CORE)  # which its processes inherit
            try:
                running.start()
            finally:
                os.sched_setaffinity(0, usual)
            yield running
        finally:
            running.remove()


class Field:
    """All the contestants, which run until the stack that they were started on is closed."""

    def __init__(self, stack: contextlib.ExitStack, store: Path, model: str) -> None:
        self._stack, self._store, self._model = stack, store, model
        self._data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._torchserve: tuple[TorchServe, frozenset[int]] | None = None
        self.contestants: dict[str, Contestant] = {}

    def start(self, name: str) -> None:
        """Start one more."""
        start: Callable[[], Contestant] = {
            OURS: self._service,
            "in-front": self._in_front,
            "torchserve": self._torchserve_alone,
            "litserve": lambda: self._program("lit", "/predict"),
            "fastapi": lambda: self._program("plain", "/forward"),
        }[name]
        self.contestants[name] = start()

    def turn(self, name: str) -> Contestant:
        """Stop all but this one, and let this one have answered something since."""
        chosen = self.contestants[name]
        mine = chosen.processes()
        for other in self.contestants.values():
            tell(other.processes() - mine, signal.SIGSTOP)
        tell(mine, signal.SIGCONT)
        return chosen

    def _entered[T](self, context: contextlib.AbstractContextManager[T]) -> tuple[T, frozenset[int]]:
        """Start it; when the stack is closed, what is left of it is killed."""
        return self._stack.enter_context(_with_processes(context))

    def _service(self, **settings: str) -> Contestant:
        data = self._data / str(len(self.contestants))
        usual = {"SNN_MODEL_STORE": str(self._store), "SNN_PRELOAD": self._model, "SNN_DATA_DIR": str(data)}
        address, roots = self._entered(service(usual | {"SNN_THREADS": "1"} | settings))
        return Contestant(f"{address}/v1/models/{self._model}/predict", roots)

    def _behind(self) -> tuple[TorchServe, frozenset[int]]:
        """The one TorchServe that is asked directly and by the service in front."""
        if self._torchserve is None:
            self._torchserve = self._entered(torchserve(self._store, self._model))
        return self._torchserve

    def _torchserve_alone(self) -> Contestant:
        running, roots = self._behind()
        return Contestant(f"{running.url}/predictions/{self._model}/1", roots, running.key())

    def _in_front(self) -> Contestant:
        running, roots = self._behind()
        place = {"SNN_TORCHSERVE_URL": running.url, "SNN_TORCHSERVE_TOKEN_FILE": str(running.key_file)}
        ahead = self._service(SNN_BACKEND="torchserve", **place)
        return Contestant(ahead.url, ahead.roots | roots)

    def _program(self, module: str, path: str) -> Contestant:
        port = free_port()
        checkpoint = Store(self._store).checkpoint_path(self._model, 1)
        command = [sys.executable, "-m", f"benchmarks.{module}", str(checkpoint), "--port", str(port)]
        address, roots = self._entered(server(command, port, ready="/health", environment={}))
        return Contestant(address + path, roots)


@contextlib.contextmanager
def _with_processes[T](context: contextlib.AbstractContextManager[T]) -> Iterator[tuple[T, frozenset[int]]]:
    before = children(os.getpid())
    with context as entered:
        roots = frozenset(children(os.getpid()) - before)
        try:
            yield entered, roots
        finally:
            processes = {process for root in roots for process in descendants(root)}
            tell(processes, signal.SIGCONT)
    tell(processes, signal.SIGKILL)  # LitServe leaves its children behind when it is told to end


def pictures(shape: InputSpec) -> list[bytes]:
    """The example digit and what becomes of it, and noise, as PNGs of the model's size."""
    with Image.open(ROOT / "examples" / "digit.png") as opened:
        digit = opened.convert("RGB" if shape.channels == 3 else "L").resize((shape.width, shape.height))
    pixels = np.random.default_rng(0).integers(0, 256, np.asarray(digit).shape, dtype=np.uint8)
    shown = [digit, ImageOps.mirror(digit), ImageOps.flip(digit), ImageOps.invert(digit), Image.fromarray(pixels)]
    buffers = [io.BytesIO() for _ in shown]
    for image, buffer in zip(shown, buffers, strict=True):
        image.save(buffer, "PNG")
    return [buffer.getvalue() for buffer in buffers]


def ask(contestant: Contestant, bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    """The predictions for some images that are sent at once, without what only some of the servers say."""

    def one(body: bytes) -> dict[str, Any]:
        answer = httpx.post(contestant.url, content=body, headers=PNG | contestant.headers, timeout=60)
        if answer.status_code != 200:
            raise SystemExit(f"{contestant.url} answers {answer.status_code}: {answer.text[:300]}")
        [found] = answer.json()["predictions"]
        del found["preprocessing"], found["energy"]["measured_mj"]
        return dict(found)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(one, bodies))


def check(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """End the program unless all say the same: classes, scores, spikes and energy."""
    for name, found in answers.items():
        for number, (mine, theirs) in enumerate(zip(answers[OURS], found, strict=True)):
            if theirs != mine:
                raise SystemExit(f"{name} does not answer as the service does to image {number}: {theirs}, not {mine}")


def measure(field: Field, body: bytes, *, clients: int, rounds: int, seconds: float) -> dict[str, list[Result]]:
    """What each saw in each round, in which they take turns."""
    results: dict[str, list[Result]] = {name: [] for name in field.contestants}
    for _ in range(rounds):
        for name, found in results.items():
            chosen = field.turn(name)
            ask(chosen, [body])
            result = closed_loop(chosen.url, body, clients=clients, seconds=seconds, headers=chosen.headers)
            if result.failed or result.refused or not result.accepted:
                counts = f"{result.accepted} requests, refused {result.refused}, failed in {result.failed}"
                raise SystemExit(f"{name} answered {counts}, with {clients} clients")
            found.append(result)
    return results


def show(clients: int, results: Mapping[str, Sequence[Result]]) -> None:
    """One table: medians over the rounds, and ratios within a round."""
    print(f"\n{clients} client{'s' * (clients > 1)}\n")
    print_header("server", "answers/s", "p50 ms", "p99 ms", "answers/s of the service", "p99 over the service's")
    inverse = {name: [1 / each.per_second for each in found] for name, found in results.items()}
    tails = {name: [each.accepted_ms["p(99)"] for each in found] for name, found in results.items()}
    for name, found in results.items():
        ours = name == OURS
        times = [f"{median(each.accepted_ms[key] for each in found):.1f}" for key in ("p(50)", "p(99)")]
        ratios = ["" if ours else times_faster(values[OURS], values[name]) for values in (inverse, tails)]
        print_row(name, f"{median(each.per_second for each in found):,.0f}", *times, *ratios)


def show_memory(field: Field) -> None:
    """What each holds after the load, its processes together."""
    print("\nMemory after the load\n")
    print_header("server", "processes", "PSS MiB", "RSS MiB")
    for name, contestant in field.contestants.items():
        processes = contestant.processes()
        resident, proportional = memory(processes)
        print_row(name, str(len(processes)), f"{proportional:,.0f}", f"{resident:,.0f}")


def versions(names: Sequence[str]) -> str:
    """What the servers that run are."""
    packages = ["fastapi", "uvicorn", *(name for name in ("litserve", "torchserve") if name in names)]
    told = [f"{package} {version(package)}" for package in packages]
    if "torchserve" in names or "in-front" in names:
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
        told.append(java.splitlines()[0].replace(" version", "").replace('"', ""))
    return ", ".join(told)


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-stl", help="an image model in the store (default: %(default)s)")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store", help="default: model_store")
    parser.add_argument("--servers", nargs="+", choices=OTHERS, default=OTHERS, help="beside the service; default: all")
    parser.add_argument("--clients", nargs="+", type=positive, default=(1, 8, 32), help="default: 1 8 32")
    parser.add_argument("--seconds", type=float, default=5, help="of each turn (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="of turns (default: %(default)s)")
    options = parser.parse_args()
    missing = left_out(options.servers)
    for name, reason in missing.items():
        print(f"left out: {name}. {reason}")
    names = [OURS, *(name for name in options.servers if name not in missing)]
    checkpoint = Checkpoint.load(Store(options.store).checkpoint_path(options.model, 1), torch.device("cpu"))
    bodies = pictures(checkpoint.card.input)
    with contextlib.ExitStack() as stack:
        field = Field(stack, options.store, options.model)
        for name in names:
            field.start(name)
        check({name: ask(contestant, bodies) for name, contestant in field.contestants.items()})
        print(f"\n{describe_machine()}; {versions(names)}\n\n{options.model}, {len(bodies)} images answered alike")
        for name in names:  # what compiles or grows with the size of a batch does so before it is timed
            closed_loop(field.turn(name).url, bodies[0], clients=32, seconds=2, headers=field.contestants[name].headers)
        for clients in options.clients:
            measured = measure(field, bodies[0], clients=clients, rounds=options.rounds, seconds=options.seconds)
            show(clients, measured)
        show_memory(field)


if __name__ == "__main__":
    main()
