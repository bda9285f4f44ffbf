"""Feed a live stream with the events that faery or AEStream sends by UDP, and print its decisions.

    python examples/udp_bridge.py nmnist-stl --port 7777                 # faery's default, t64_x16_y16_on8
    python examples/udp_bridge.py nmnist-stl --port 3333 --format spif   # AEStream

Parameters of the stream follow as `name=value`: `crop=40,0,238,238 downsample=7 reorder_us=1000`.
"""

import argparse
import asyncio
import struct
from typing import Any

from stl_snn_client import AsyncClient
from stl_snn_client.async_stream import AsyncStream

RECORD_BYTES = {"events13": 13, "events8": 8, "spif": 4}  # faery: t64_x16_y16_on8, t32_x16_y15_on1
NO_TIME = 1 << 31  # of a SPIF word: bit 31; then 15 bits of x, one of polarity, 15 of y
WAITING = 1000  # datagrams; more are dropped, as UDP does


def from_spif(datagram: bytes, now_us: int) -> bytes:
    """SPIF words as `events8`; words without a time, which the next word would hold, happened now."""
    words = struct.unpack(f"<{len(datagram) // 4}I", datagram)
    events = bytearray()
    rest = iter(words)
    for word in rest:
        time = now_us if word & NO_TIME else next(rest, now_us)
        events += struct.pack("<IHH", time & 0xFFFFFFFF, word >> 16 & 0x7FFF, (word & 0x7FFF) << 1 | word >> 15 & 1)
    return bytes(events)


class Receiver(asyncio.DatagramProtocol):
    """Puts whole records into a queue."""

    def __init__(self, format: str) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self.lost = 0
        self._format = format

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take the records of a datagram."""
        data = data[: len(data) - len(data) % RECORD_BYTES[self._format]]
        if self._format == "spif":
            data = from_spif(data, int(asyncio.get_running_loop().time() * 1e6))
        try:
            self.queue.put_nowait(data)
        except asyncio.QueueFull:
            self.lost += 1

    async def feed(self, stream: AsyncStream, idle: float | None) -> None:
        """Send what comes, until nothing has come for `idle` seconds."""
        await stream.send(await self.queue.get())
        while True:
            try:
                async with asyncio.timeout(idle):
                    data = await self.queue.get()
            except TimeoutError:
                return await stream.close()
            await stream.send(data)


async def run(arguments: argparse.Namespace) -> None:
    """Receive, send and print."""
    parameters = dict(each.split("=", 1) for each in arguments.parameters)
    format = "events8" if arguments.format == "spif" else arguments.format
    loop = asyncio.get_running_loop()
    address = (arguments.host, arguments.port)
    async with (
        AsyncClient(arguments.url) as client,
        client.stream(arguments.model, format=format, **parameters) as live,
    ):
        transport, receiver = await loop.create_datagram_endpoint(lambda: Receiver(arguments.format), address)
        print("listening on {} port {}".format(*transport.get_extra_info("sockname")[:2]), flush=True)
        feeding = asyncio.create_task(receiver.feed(live, arguments.idle))
        async for decision in live:
            print(f"step {decision['step']}: {decision['label']} {decision['score']:.3f}", flush=True)
        await feeding
        transport.close()
    print(f"{live.totals and live.totals['events']} events, {receiver.lost} datagrams lost")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="Feed a live stream with events that come by UDP.")
    parser.add_argument("model", help="name of a model of events")
    parser.add_argument("parameters", nargs="*", help="parameters of the stream, as name=value")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
    parser.add_argument("--port", type=int, default=7777, help="port to listen on [7777]")
    parser.add_argument("--format", choices=RECORD_BYTES, default="events13", help="format of the datagrams [events13]")
    parser.add_argument("--idle", type=float, help="end after so many seconds without a datagram [never]")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the service [http://127.0.0.1:8000]")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
