"""Live streams through both clients, over real WebSockets."""

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from stl_snn_client import (
    AsyncClient,
    Client,
    ConnectionFailed,
    Invalid,
    NotFound,
    ServiceUnreachable,
    SnnError,
    Unauthorized,
    Unavailable,
)
from stl_snn_client.conversation import Conversation
from stl_snn_client.options import Options
from tests.stl_snn_client.running import Service, service_at
from tests.stl_snn_client.scripted import failure, scripted
from tests.tiny import EVENT_STEPS, moving_bar

if TYPE_CHECKING:
    from stl_snn_client.async_stream import AsyncStream
    from stl_snn_client.stream import Stream

BAR = moving_bar(np.random.default_rng(1), right=True)
COLUMNS = {name: BAR[:, index].tolist() for index, name in enumerate("txyp")}
MODEL = "tiny-events"


def table() -> np.ndarray:
    found = np.empty(len(BAR), [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
    for index, name in enumerate("txyp"):
        found[name] = BAR[:, index]
    return found


async def test_a_stream_decides_as_a_prediction_does(service: Service, client: Client) -> None:
    [predicted] = client.predict(MODEL, COLUMNS_INPUT)["predictions"]
    with client.stream(MODEL, scores=True) as stream:
        assert stream.ready is not None
        assert (stream.ready["model"], stream.ready["timesteps"]) == (MODEL, EVENT_STEPS)
        for part in np.array_split(table(), 7):
            stream.send(part)
        assert stream.totals is None
        stream.close()
        decisions = list(stream)
    assert len(decisions) == EVENT_STEPS
    assert (decisions[-1]["label"], decisions[-1]["score"]) == (predicted["label"], predicted["score"])
    assert len(decisions[-1]["scores"]) == 2
    assert stream.totals is not None
    assert stream.totals["spikes_total"] == predicted["spikes"]["total"]

    async with AsyncClient(service.url, api_key="right") as other, other.stream(MODEL, format="json") as live:
        await live.send(COLUMNS)
        await live.close()
        labels = [each["label"] async for each in live]
    assert labels == [each["label"] for each in decisions]
    assert live.totals == stream.totals


COLUMNS_INPUT = {"events": COLUMNS}


async def test_flush_decides_and_reset_forgets(service: Service, client: Client) -> None:
    first = table()[:5]
    with client.stream(MODEL) as stream:
        with pytest.raises(TimeoutError):
            stream.receive(timeout=0.01)
        stream.send(first)
        stream.flush()
        decision = stream.receive(timeout=20)
        stream.reset()
        stream.send(first)
        stream.flush()
        again = stream.receive(timeout=20)
    assert decision is not None
    assert again is not None
    assert (again["step"], again["spikes"]) == (decision["step"], decision["spikes"])
    assert stream.totals is not None
    assert stream.totals["events"] == 10

    async with AsyncClient(service.url, api_key="right") as other, other.stream(MODEL) as live:
        with pytest.raises(TimeoutError):
            await live.receive(timeout=0.01)
        await live.send(first)
        await live.flush()
        flushed = await live.receive(timeout=20)
        await live.reset()
    assert flushed is not None
    assert flushed["spikes"] == decision["spikes"]
    assert live.totals is not None


def test_one_thread_sends_while_another_reads(client: Client) -> None:
    with client.stream(MODEL) as stream:

        def send() -> None:
            for _ in range(100):
                stream.send(table())
                stream.reset()
            stream.close()

        sending = threading.Thread(target=send)
        sending.start()
        steps = sum(1 for _ in stream)
        sending.join()
    assert steps >= 100 * (EVENT_STEPS - 1)
    assert stream.totals is not None
    assert stream.totals["events"] == 100 * len(BAR)


@pytest.mark.parametrize(
    ("model", "parameters", "error", "code"),
    [
        ("nothing", {}, NotFound, "model_not_found"),
        (MODEL, {"reorder_us": -1}, Invalid, "invalid_parameter"),
        ("tiny-image", {}, Invalid, "wrong_input_kind"),
    ],
)
async def test_a_stream_that_is_refused_is_an_error_with_its_code(
    service: Service, client: Client, model: str, parameters: dict[str, Any], error: type[Any], code: str
) -> None:
    with pytest.raises(error) as raised, client.stream(model, **parameters):
        pass
    assert (raised.value.code, bool(raised.value.request_id)) == (code, True)
    async with AsyncClient(service.url, api_key="right") as other:
        with pytest.raises(error):
            async with other.stream(model, **parameters):
                pass


async def test_a_key_is_needed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_API_KEY", raising=False)
    with Client(service.url) as client, pytest.raises(Unauthorized), client.stream(MODEL):
        pass


async def test_events_that_the_model_cannot_take_end_the_stream(service: Service, client: Client) -> None:
    outside = {"t": [1], "x": [99], "y": [0], "p": [1]}
    stream = client.stream(MODEL)
    with pytest.raises(Invalid) as raised:
        play(stream, outside)
    assert (raised.value.code, raised.value.close_code) == ("invalid_events", 1003)
    assert stream.totals is not None
    with pytest.raises(Invalid), client.stream(MODEL) as left:
        left.send(outside)  # and the end of the statement reads what the service says
    with pytest.raises(Invalid):
        play(client.stream(MODEL), outside, times=10_000)
    async with AsyncClient(service.url, api_key="right") as other:
        live = other.stream(MODEL)
        with pytest.raises(Invalid):
            await play_async(live, outside, times=10_000)
    assert live.totals is not None


def play(stream: "Stream", events: Any, times: int = 1) -> None:
    """Send events, and read what the stream says."""
    with stream:
        for _ in range(times):
            stream.send(events)
        list(stream)


async def play_async(stream: "AsyncStream", events: Any, times: int) -> None:
    """Send events for as long as the stream takes them."""
    async with stream:
        for _ in range(times):
            await stream.send(events)
            await asyncio.sleep(0)


def test_nothing_is_sent_after_the_end(client: Client) -> None:
    with client.stream(MODEL) as stream:
        stream.close()
        with pytest.raises(ValueError, match="closed"):
            stream.send(table())
        stream.close()
    with pytest.raises(RuntimeError, match="with"):
        client.stream(MODEL).flush()


def test_a_service_that_stops_says_so(tiny_store_root: Path, tmp_path: Path) -> None:
    with service_at(tiny_store_root, tmp_path / "data", preload=(MODEL,)) as service, Client(service.url) as client:
        stream = client.stream(MODEL)
        with pytest.raises(Unavailable) as raised, stream:
            service.loop.call_soon_threadsafe(service.runtime.live_streams.stop)
        assert (raised.value.code, raised.value.close_code) == ("shutting_down", 1012)


def test_a_service_that_is_not_there_or_is_none_is_a_failed_connection() -> None:
    with scripted(b"", failure(503, "not_ready")) as server, Client(server.url) as client:
        with pytest.raises(ConnectionFailed), client.stream(MODEL):
            pass
        with pytest.raises(Unavailable), client.stream(MODEL):
            pass
    with Client("http://127.0.0.1:1") as client, pytest.raises(ServiceUnreachable), client.stream(MODEL):
        pass


@pytest.mark.parametrize(
    ("close_code", "reason", "code"),
    [(1013, "", "overloaded"), (1008, "too_many_events", "too_many_events"), (1011, "keepalive", "internal_error")],
)
def test_a_close_code_alone_says_what_happened(close_code: int, reason: str, code: str) -> None:
    said = Conversation(Options.of("http://x", None, None, 0), MODEL, "json", {})
    with pytest.raises(SnnError) as raised:
        said.check_end(close_code, reason)
    assert (raised.value.code, raised.value.close_code) == (code, close_code)  # type: ignore[attr-defined]
    with pytest.raises(ConnectionFailed):
        said.check_end(None, None)
