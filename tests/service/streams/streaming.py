"""A client of live streams below HTTP, and recordings as it sends them."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import ServiceError
from contract.events.records import Events13
from service.streams.live_stream import LiveStream
from tests.tiny import moving_bar

Messages = list[dict[str, Any]]


def bar(seed: int, *, at_us: int = 1_000_000) -> NDArray[np.int64]:
    """A recording of `tiny-events` that begins near `at_us`."""
    events = moving_bar(np.random.default_rng(seed), right=bool(seed % 2))
    return events + np.array([at_us, 0, 0, 0], np.int64)


def as_bytes(events: NDArray[np.int64]) -> bytes:
    records = np.empty(len(events), Events13.WORD)
    for index, name in enumerate("txyp"):
        records[name] = events[:, index]
    return records.tobytes()


def as_text(events: NDArray[np.int64]) -> str:
    columns = {name: events[:, index].tolist() for index, name in enumerate("txyp")}
    return json.dumps({"events": columns})


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in parts that end at these places, of which some may be behind the end."""
    ends = [*sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class Talk:
    """Plays messages into a stream, and then leaves the input open if `stays` is set."""

    def __init__(self, messages: Sequence[bytes | str], *, stays: bool = False, reads: int | None = None) -> None:
        self.heard: Messages = []
        self.error: ServiceError | None = None
        self._messages = list(messages)
        self._stays = stays
        self._reads = reads

    async def receive(self) -> bytes | str | None:
        await asyncio.sleep(0)
        if self._messages:
            return self._messages.pop(0)
        if self._stays:
            await asyncio.Event().wait()
        return None

    async def send(self, message: bytes) -> None:
        if self._reads is not None and len(self.heard) >= self._reads:
            await asyncio.Event().wait()
        self.heard.append(json.loads(message))

    async def run(self, stream: LiveStream) -> Messages:
        """What the stream says."""
        with stream:
            self.error = await stream.run(self.receive, self.send)
        return self.heard


def decisions(heard: Messages) -> Messages:
    return [message for message in heard if message["type"] == "decision"]


def assert_as_predicted(found: Messages, predicted: dict[str, Any], voters: int) -> None:
    """The decisions of a stream are those of a prediction with detail=timesteps, bit for bit."""
    assert len(found) == len(predicted["timesteps"])
    assert [each["spikes"] for each in found] == predicted["spikes"]["timesteps"]
    votes = np.cumsum([[round(score * voters) for score in each["scores"]] for each in predicted["timesteps"]], axis=0)
    for step, decision in enumerate(found):
        scores = votes[step] / ((step + 1) * voters)
        assert decision["scores"] == scores.tolist()
        assert (decision["step"], decision["class_id"]) == (step, int(scores.argmax()))
    last = found[-1]
    assert (last["label"], last["score"]) == (predicted["label"], predicted["score"])
    assert last["spikes_total"] == predicted["spikes"]["total"]
    assert last["estimate_nj_total"] == predicted["energy"]["estimate_nj"]
    operations = ("accumulates", "multiply_accumulates")
    assert [sum(each[name] for each in found) for name in operations] == [
        predicted["energy"][name] for name in operations
    ]
