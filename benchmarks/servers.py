"""The service beside other servers of the same checkpoint: throughput, latency and memory by number of clients.

    python -m benchmarks.servers [--servers litserve fastapi] [--clients 1 8 32] [--seconds 5]

Each server, with all of its processes, has one core, and k6 another. The others:

- `in-front`: the service in front of TorchServe, both on the one core;
- `torchserve`: TorchServe alone, with the project's handler;
- `litserve`: LitServe, batching (benchmarks/lit.py);
- `fastapi`: a FastAPI route around the network, one request at a time (`/forward` of benchmarks/plain.py).

All of them run the network with the event engine where it was built. Before anything is timed, their answers to some
images are compared. Then they take turns; those that wait are stopped (SIGSTOP), since some of them look at their
queues a thousand times a second.
"""

import argparse
import contextlib
import io
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
from PIL import Image, ImageOps

from benchmarks.contestants import OTHERS, OURS, Contest, Contestant, left_out
from benchmarks.load import ROOT, Result, closed_loop
from benchmarks.machine import describe_machine, positive, print_header, print_row, times_faster
from benchmarks.processes import cpu_seconds, memory
from contract.card import InputSpec, read_card
from contract.store import Store


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
    headers = {"Content-Type": "image/png", **contestant.headers}

    def one(body: bytes) -> dict[str, Any]:
        answer = httpx.post(contestant.url, content=body, headers=headers, timeout=60)
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


@dataclass(frozen=True)
class Turn:
    """What k6 saw of one server for some seconds, and the core time in ms that an answer took there."""

    result: Result
    core_ms: float


def measure(contest: Contest, body: bytes, *, clients: int, rounds: int, seconds: float) -> dict[str, list[Turn]]:
    """What each did in each round, in which they take turns."""
    turns: dict[str, list[Turn]] = {name: [] for name in contest.contestants}
    for _ in range(rounds):
        for name, found in turns.items():
            chosen = contest.turn(name)
            ask(chosen, [body])  # it is awake
            before = cpu_seconds(chosen.processes())
            result = closed_loop(chosen.url, body, clients=clients, seconds=seconds, headers=chosen.headers)
            if result.failed or result.refused or not result.accepted:
                counts = f"{result.accepted} answered, {result.refused} refused, {result.failed} failed"
                raise SystemExit(f"requests of {name} with {clients} clients: {counts}")
            taken = cpu_seconds(chosen.processes()) - before
            found.append(Turn(result, 1000 * taken / result.accepted))
    return turns


def show(clients: int, turns: Mapping[str, Sequence[Turn]]) -> None:
    """One table: medians over the rounds, and ratios within a round, above 1 where the service is ahead."""
    print(f"\n{clients} client{'s' * (clients > 1)}\n")
    compared = ("answers/s, service over it", "p99, it over service", "core ms, it over service")
    print_header("server", "answers/s", "p50 ms", "p99 ms", "core ms an answer", *compared)
    values = {name: [_lower_is_better(turn) for turn in found] for name, found in turns.items()}
    for name, found in turns.items():
        cells = [f"{median(turn.result.per_second for turn in found):,.0f}"]
        cells += [f"{median(turn.result.accepted_ms[key] for turn in found):.1f}" for key in ("p(50)", "p(99)")]
        cells += [f"{median(turn.core_ms for turn in found):.2f}"]
        both = zip(zip(*values[OURS], strict=True), zip(*values[name], strict=True), strict=True)
        ratios = [times_faster(list(ours), list(theirs)) for ours, theirs in both]
        print_row(name, *cells, *(ratios if name != OURS else [""] * len(ratios)))


def _lower_is_better(turn: Turn) -> tuple[float, float, float]:
    return 1 / turn.result.per_second, turn.result.accepted_ms["p(99)"], turn.core_ms


def show_memory(contest: Contest) -> None:
    """What each holds after the load, its processes together."""
    print("\nmemory after the load\n")
    print_header("server", "processes", "PSS MiB", "RSS MiB")
    for name, contestant in contest.contestants.items():
        processes = contestant.processes()
        resident, proportional = memory(processes)
        print_row(name, str(len(processes)), f"{proportional:,.0f}", f"{resident:,.0f}")


def versions(names: Sequence[str]) -> str:
    """What the servers that run are."""
    with_torchserve = "torchserve" in names or "in-front" in names
    packages = ["fastapi", "uvicorn", *["litserve"] * ("litserve" in names), *["torchserve"] * with_torchserve]
    told = [f"{package} {version(package)}" for package in packages]
    if with_torchserve:
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
        told.append(java.splitlines()[0].replace(" version", "").replace('"', ""))
    return ", ".join(told)


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-stl", help="an image model in the store (default: %(default)s)")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store", help="default: model_store")
    parser.add_argument("--servers", nargs="+", choices=OTHERS, default=OTHERS, help="beside the service; default: all")
    parser.add_argument("--clients", nargs="+", type=positive, default=(1, 8, 32, 64), help="default: 1 8 32 64")
    parser.add_argument("--seconds", type=positive, default=5, help="of each turn (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="of turns (default: %(default)s)")
    options = parser.parse_args()
    missing = left_out(options.servers)
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    names = [OURS, *(name for name in options.servers if name not in missing)]
    card = read_card(Store(options.store).newest(options.model))
    bodies = pictures(card.input)
    with contextlib.ExitStack() as stack:
        contest = Contest(stack, options.store.absolute(), options.model)
        for name in names:
            contest.start(name)
        check({name: ask(contestant, bodies) for name, contestant in contest.contestants.items()})
        print(f"\n{describe_machine()}; {versions(names)}\n\n{options.model}: {len(bodies)} images answered alike")
        # what compiles or grows with a batch's size does so before anything is timed
        measure(contest, bodies[0], clients=max(options.clients), rounds=1, seconds=min(2, options.seconds))
        for clients in options.clients:
            show(clients, measure(contest, bodies[0], clients=clients, rounds=options.rounds, seconds=options.seconds))
        show_memory(contest)


if __name__ == "__main__":
    main()
