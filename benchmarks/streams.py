"""Live streams held at real time, the steps of all of them as one batch and one at a time.

    python -m benchmarks.streams
    python -m benchmarks.streams --seconds 10 --recording examples/recording.bin

Each stream plays a recording at its own speed, again and again, as bytes in chunks of a few milliseconds, beginning at
a random time; what a server would send is made and thrown away, so that everything is measured except the sockets. As
many streams are held as have their decision, in 99 of 100 steps, before the next step is over. The number is doubled
until it is too high, and then searched between. Memory is that of the process for each further open stream.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, positive, print_header, print_row, use_one_thread
from contract.energy import PROFILES
from contract.events import read_events
from contract.events.live import live_decoder
from contract.events.records import Events13
from contract.store import Store
from service.engine.device import choose_device
from service.engine.load import load_engine
from service.inference.device_thread import DeviceThread
from service.inference.step_batcher import StepBatcher
from service.models.version import Loaded, Version
from service.streams.answers import Ready
from service.streams.event_steps import StepLimits, steps_for
from service.streams.live_stream import LiveLimits, LiveStream
from service.streams.sessions import Session, SessionOptions

MODEL = Store(Path("model_store")).newest("nmnist-stl")
RECORDING = Path("examples/recording.bin")
LIMITS = LiveLimits(events_per_s=10**9, idle_seconds=3600, seconds=3600, send_seconds=3600)
SHARE = 99  # of a hundred steps
PRECISION = 0.08


@dataclass(frozen=True)
class Held:
    """What so many streams came to: milliseconds from a step's last event to its decision, and for each stream core
    milliseconds a second, its client's included, and bytes.
    """

    streams: int
    p50_ms: float
    p99_ms: float
    core_ms: float
    stream_bytes: float

    def is_real_time(self, step_us: int) -> bool:
        """Whether the decisions come before the next step is over."""
        return self.p99_ms < step_us / 1000


class Player:
    """The client of one stream: sends a recording again and again at its own speed, and notes each latency."""

    def __init__(self, events: NDArray[np.int64], step_us: int, chunk_us: int, begins: float, ends: float) -> None:
        span = int(events[-1, 0] - events[0, 0]) // step_us * step_us + step_us
        self.latencies: list[float] = []
        self._events = events - np.array([events[0, 0], 0, 0, 0])
        self._span, self._chunk = span, chunk_us
        self._begins, self._ends = begins, ends
        self._at = 0

    async def receive(self) -> bytes | None:
        """The next chunk, when its events have happened; None at the end."""
        self._at += self._chunk
        due = self._begins + self._at / 1e6
        if due > self._ends:
            return None
        await asyncio.sleep(max(0.0, due - perf_counter()))
        played, place = divmod(self._at - self._chunk, self._span)
        first, last = np.searchsorted(self._events[:, 0], [place, place + self._chunk])
        records = np.empty(last - first, Events13.WORD)
        for index, name in enumerate("txyp"):
            records[name] = self._events[first:last, index]
        records["t"] += played * self._span
        return records.tobytes()

    async def send(self, message: bytes) -> None:
        """Note the latency of a decision."""
        found = json.loads(message)
        if found["type"] == "decision" and found["latency_ms"] is not None:
            self.latencies.append(found["latency_ms"])


async def hold(model: Loaded, events: NDArray[np.int64], streams: int, batch: int, args: argparse.Namespace) -> Held:
    """Play `streams` streams for a while, their steps in batches of at most `batch`."""
    device = DeviceThread()
    steps = StepBatcher(device, max_batch_size=batch)
    rng = random.Random(1)
    step_us = step_us_of(model)
    before, opened = resident_bytes(), []
    options = SessionOptions(PROFILES["cmos-45nm"])
    for _ in range(streams):
        session = Session(model, "streams", steps, options)
        ready: Ready = {
            "type": "ready",
            "model": "streams",
            "version": 1,
            "step_us": session.step_us,
            "timesteps": model.engine.card.timesteps,
        }
        opened.append(LiveStream(session, live_decoder("events13"), ready, LIMITS, scores=True))
    now = perf_counter()
    players = []
    for _ in opened:
        begins = now + rng.uniform(0, step_us / 1e6)
        players.append(Player(events, step_us, args.chunk_ms * 1000, begins, now + args.seconds))

    async def play(stream: LiveStream, player: Player) -> None:
        with stream:
            await stream.run(player.receive, player.send)

    core = process_time()
    running = asyncio.gather(*(play(*pair) for pair in zip(opened, players, strict=True)))
    await asyncio.sleep(args.seconds / 2)
    memory = (resident_bytes() - before) / streams
    await running
    core_ms = (process_time() - core) * 1000 / streams / args.seconds
    steps.stop()
    device.stop(wait=True)
    latencies = np.concatenate([player.latencies[3:] for player in players])
    p50, p99 = (float(np.percentile(latencies, share)) for share in (50, SHARE))
    return Held(streams, p50, p99, core_ms, memory)


async def most(model: Loaded, events: NDArray[np.int64], batch: int, args: argparse.Namespace) -> Held:
    """The largest number of streams that are held, within `PRECISION`."""
    step_us = step_us_of(model)
    best = await hold(model, events, 1, batch, args)
    too_many = 2
    while too_many <= args.most and (found := await hold(model, events, too_many, batch, args)).is_real_time(step_us):
        best, too_many = found, too_many * 2
    while (too_many - best.streams) > max(1, PRECISION * best.streams):
        found = await hold(model, events, (best.streams + too_many) // 2, batch, args)
        if found.is_real_time(step_us):
            best = found
        else:
            too_many = found.streams
    return best


def step_us_of(model: Loaded) -> int:
    """Length of a time step in µs; `InvalidParameter` for a model that takes no live events."""
    return steps_for(model.engine.card, "streams", StepLimits()).step_us


def resident_bytes() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL, help="checkpoint of a model of events with time steps")
    parser.add_argument("--recording", type=Path, default=RECORDING, help="recording that the streams play")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long a number of streams is tried")
    parser.add_argument("--chunk-ms", type=positive, default=5, help="length of a message")
    parser.add_argument("--most", type=positive, default=2048, help="where the search ends")
    parser.add_argument("--batch", type=positive, default=32, help="streams in a batch")
    parser.add_argument("--engine", choices=("event", "torchscript"), default="event", help="what runs the network")
    args = parser.parse_args(arguments)
    use_one_thread()
    engine = load_engine(args.model, choose_device("cpu"), preference=args.engine)
    model = Loaded(Version("streams", 1), engine)
    events = read_events(args.recording.read_bytes(), filename=args.recording.name, max_events=10**6)
    step_us = step_us_of(model)
    length = f"steps of {step_us / 1000:g} ms, messages of {args.chunk_ms} ms"
    print(f"{describe_machine()}; {engine.choice.name} engine, {length}, {args.seconds:g} s each")
    print_header("steps", "streams held", "p50, ms", "p99, ms", "core ms of a stream a second", "KiB of a stream")
    found = {}
    for name, batch in (("as one batch", args.batch), ("one at a time", 1)):
        held = found[name] = uvloop.run(most(model, events, batch, args))
        numbers = f"{held.p50_ms:.1f}", f"{held.p99_ms:.1f}", f"{held.core_ms:.1f}", f"{held.stream_bytes / 1024:.0f}"
        print_row(name, str(held.streams), *numbers)
    together, alone = found.values()
    print(f"{together.streams / alone.streams:.1f} times as many as one at a time")


if __name__ == "__main__":
    main()
