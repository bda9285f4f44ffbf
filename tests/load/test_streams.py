"""Streams that come and go by the thousand, and every recording of a real camera as a stream."""

import asyncio
import json
import random
import struct
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from websockets.asyncio import client

from contract.card import EventEncoder, read_card
from contract.events import read_events
from contract.store import Store
from tests.service.process import ROOT, started
from tests.service.prometheus import parse
from tests.service.streams.streaming import as_bytes, assert_as_predicted, bar, decisions

pytestmark = pytest.mark.long

NMNIST = ROOT.parent / "shared" / "data" / "nmnist"
OPENS = 20_000
AT_ONCE = 32
GROWTH_MB = 30  # allocators keep some; what each stream left behind would add up to more


def resident_mb(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def until_ready(address: str) -> None:
    async with httpx.AsyncClient() as caller, asyncio.timeout(120):
        while (await caller.get(f"{address}/health/ready")).status_code != 200:
            await asyncio.sleep(0.1)


async def come_and_go(url: str, rng: random.Random) -> None:
    """One stream, which ends in one of many ways."""
    events = as_bytes(bar(rng.randrange(50)))
    socket = await client.connect(url, ping_interval=None)
    match rng.randrange(4):
        case 0:  # done
            await socket.send(events)
            await socket.send('{"type": "close"}')
            await socket.wait_closed()
        case 1:  # closed at once
            await socket.close()
        case 2:  # hung up in the middle of a message and of a record
            await socket.send(events[: rng.randrange(len(events))])
            socket.transport.write(bytes([0x82, 0xFE]) + struct.pack(">H", 500) + bytes(4) + events[:100])
            socket.transport.abort()
        case _:  # not events
            await socket.send(b"\xff" * 13)
            await socket.wait_closed()


async def test_streams_that_come_and_go_leave_no_memory_behind(tiny_store_root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started(log, MODEL_STORE=str(tiny_store_root), PRELOAD="tiny-events") as (process, address):
        await until_ready(address)
        url = f"ws://{urlsplit(address).netloc}/v1/models/tiny-events/stream"
        sizes: list[float] = []
        rng = random.Random(1)
        for begun in range(0, OPENS, 2_000):
            for _ in range(2_000 // AT_ONCE):
                await asyncio.gather(*(come_and_go(url, rng) for _ in range(AT_ONCE)))
            sizes.append(resident_mb(process.pid))
            print(f"{begun + 2_000} streams: {sizes[-1]:.0f} MB")
        async with httpx.AsyncClient() as caller, asyncio.timeout(30):
            while parse((await caller.get(f"{address}/metrics")).text)["snn_streams", frozenset()]:
                await asyncio.sleep(0.1)
        assert sizes[-1] - sizes[0] < GROWTH_MB
        assert "Traceback" not in log.read_text()


@pytest.mark.skipif(not NMNIST.is_dir(), reason="the recordings of N-MNIST are not here")
async def test_every_recording_streamed_a_millisecond_at_a_time_gets_the_decisions_of_predict(tmp_path: Path) -> None:
    names = [line.split("\t")[0] for line in (NMNIST / "test.txt").read_text().splitlines() if line[0] != "#"]
    choices = {"MODEL_STORE": str(ROOT / "model_store"), "PRELOAD": "nmnist-stl"}
    with started(tmp_path / "log", **choices) as (_, address):
        await until_ready(address)
        async with httpx.AsyncClient(base_url=f"{address}/v1/models/nmnist-stl", timeout=60) as caller:
            card = read_card(Store(ROOT / "model_store").newest("nmnist-stl"))
            assert isinstance(card.encoder, EventEncoder)
            assert card.encoder.step_us is not None
            horizon_us = card.timesteps * card.encoder.step_us
            for name in names:
                data = (NMNIST / "events" / f"{name}.bs2").read_bytes()
                headers = {"Content-Type": "application/octet-stream"}
                answer = await caller.post("/predict?format=nmnist&detail=timesteps", content=data, headers=headers)
                found = await streamed(address, read_events(data, format="nmnist", max_events=10**6), horizon_us)
                assert_as_predicted(found[: card.timesteps], answer.json()["predictions"][0], card.voters)
    print(f"{len(names)} recordings")


@pytest.mark.skipif(not NMNIST.is_dir(), reason="the recordings of N-MNIST are not here")
async def test_every_recording_streamed_with_an_exit_ends_as_in_predict(tmp_path: Path) -> None:
    names = [line.split("\t")[0] for line in (NMNIST / "test.txt").read_text().splitlines() if line[0] != "#"]
    choices = {"MODEL_STORE": str(ROOT / "model_store"), "PRELOAD": "nmnist-stl"}
    used = []
    with started(tmp_path / "log", **choices) as (_, address):
        await until_ready(address)
        async with httpx.AsyncClient(base_url=f"{address}/v1/models/nmnist-stl", timeout=60) as caller:
            for name in names:
                data = (NMNIST / "events" / f"{name}.bs2").read_bytes()
                headers = {"Content-Type": "application/octet-stream"}
                answer = await caller.post("/predict?format=nmnist&exit=lossless", content=data, headers=headers)
                predicted = answer.json()["predictions"][0]
                events = as_bytes(read_events(data, format="nmnist", max_events=10**6))
                lines = await caller.post("/stream?exit=lossless", content=events, headers=headers)
                heard = decisions([json.loads(line) for line in lines.text.splitlines()])
                final = next(each for each in heard if each["final"])
                used.append(final["step"] + 1)
                assert (used[-1], final["label"]) == (predicted["steps_used"], predicted["label"])
                assert final["spikes_total"] == predicted["spikes"]["total"]
    print(f"{len(names)} recordings, {np.mean(used):.2f} steps on average")


async def streamed(address: str, events: Any, horizon_us: int) -> list[dict[str, Any]]:
    """The decisions on a recording in chunks of a millisecond, until `horizon_us` have passed."""
    if events[-1, 0] - events[0, 0] < horizon_us:  # an event behind it, for which all steps before are due
        events = np.concatenate([events, [(events[0, 0] + horizon_us, 0, 0, 1)]])
    cuts = np.searchsorted(events[:, 0] - events[0, 0], np.arange(1000, horizon_us, 1000))
    url = f"ws://{urlsplit(address).netloc}/v1/models/nmnist-stl/stream?scores=true"
    async with client.connect(url) as socket:

        async def hear() -> list[dict[str, Any]]:
            return [json.loads(text) async for text in socket]

        hearing = asyncio.create_task(hear())
        for chunk in np.split(events, cuts):
            await socket.send(as_bytes(chunk))
        await socket.send('{"type": "close"}')
        return decisions(await hearing)
