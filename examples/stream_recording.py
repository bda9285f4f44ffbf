"""Replay a recording into a live stream at its own speed, and draw the running decision in the terminal.

    make serve                       # in another terminal
    python examples/stream_recording.py nmnist-stl examples/recording.bin --format nmnist

The recording may have any format that the service reads. Parameters of the stream follow as `name=value`, such as
`crop=40,0,238,238` or `decision=window`. `--url` names another service, and SNN_API_KEY is its API key.
"""

import argparse
import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contract.events import FORMATS, read_events
from stl_snn_client import AsyncClient
from stl_snn_client.answers import Decision
from stl_snn_client.async_stream import AsyncStream

RECORD = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
MOST_EVENTS = 100_000_000
BAR = 40
ROWS = 10


def packed(events: NDArray[np.int64]) -> NDArray[np.void]:
    """Events `[N, 4]` as the records that a stream takes."""
    found = np.empty(len(events), RECORD)
    for index, name in enumerate("txyp"):
        found[name] = events[:, index]
    return found


async def replay(stream: AsyncStream, events: NDArray[np.void], speed: float, chunk_us: int) -> None:
    """Send the events in chunks of so many µs, each when it is due; at once with speed 0."""
    times = events["t"] - events["t"][0]
    ends = np.arange(0, int(times[-1]) + 2 * chunk_us, chunk_us)
    clock = asyncio.get_running_loop().time
    started = clock()
    for (start, stop), end_us in zip(pairwise(np.searchsorted(times, ends)), ends[1:], strict=True):
        if speed:
            await asyncio.sleep(started + end_us / 1e6 / speed - clock())
        await stream.send(events[start:stop])
    await stream.close()


def picture(decision: Decision, labels: list[str]) -> Group:
    """The best classes with their scores as bars, and what the decision has cost so far."""
    table = Table.grid(padding=(0, 1))
    scores = decision["scores"]
    best = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:ROWS]
    for index in sorted(best):
        style = "bold green" if index == decision["class_id"] else ""
        bar = "█" * round(scores[index] * BAR)
        table.add_row(Text(labels[index], style), Text(f"{bar:<{BAR}}", style), f"{scores[index]:.3f}")
    latency = decision["latency_ms"]
    line = (
        f"{decision['end_us'] / 1e6:.3f} s, step {decision['step']}: {decision['label']}; "
        f"{decision['spikes_total']} spikes, {decision['estimate_nj_total'] / 1000:.2f} µJ"
    )
    return Group(table, Text(line if latency is None else f"{line}, {latency:.1f} ms"))


async def run(arguments: argparse.Namespace) -> None:
    """Replay the recording and draw what the service says."""
    path: Path = arguments.recording
    events = read_events(path.read_bytes(), arguments.format, filename=path.name, max_events=MOST_EVENTS)
    parameters = dict(each.split("=", 1) for each in arguments.parameters)
    async with (
        AsyncClient(arguments.url) as client,
        client.stream(arguments.model, scores=True, **parameters) as stream,
    ):
        assert stream.ready is not None
        labels = (await client.version(stream.ready["model"], stream.ready["version"]))["labels"] or []
        sending = asyncio.create_task(replay(stream, packed(events), arguments.speed, arguments.chunk_us))
        with Live() as live:
            async for decision in stream:
                live.update(picture(decision, labels))
        await sending
    totals = stream.totals
    assert totals is not None
    if not live.console.is_terminal:
        print()
    print(f"{totals['events']} events in {totals['steps']} steps; {totals['late']} late, {totals['dropped']} dropped")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="Replay a recording into a live stream.")
    parser.add_argument("model", help="name of a model of events")
    parser.add_argument("recording", type=Path, help="file with events")
    parser.add_argument("parameters", nargs="*", help="parameters of the stream, as name=value")
    parser.add_argument("--format", choices=FORMATS, help="format of the file [detected]")
    parser.add_argument("--speed", type=float, default=1.0, help="1 is the recording's own, 0 as fast as possible [1]")
    parser.add_argument("--chunk-us", type=int, default=1000, help="microseconds of events in a message [1000]")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the service [http://127.0.0.1:8000]")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
