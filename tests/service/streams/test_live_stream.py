"""Live streams without a transport: what they answer, and how they end."""

import asyncio
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import (
    InvalidParameter,
    ModelError,
    ModelNotFound,
    Overloaded,
    ServiceError,
    ShuttingDown,
    VersionNotFound,
    WrongInputKind,
)
from service.runtime import Runtime
from service.streams.live_stream import LONGEST_TEXT, LiveLimits, LiveStream, _Rate
from service.streams.options import StreamOptions
from tests.service.serving import Client
from tests.service.streams.streaming import (
    Messages,
    Talk,
    as_bytes,
    as_text,
    assert_as_predicted,
    bar,
    cut,
    decisions,
)
from tests.tiny import EVENT_STEP_US, EVENT_STEPS

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "tiny-events"
VOTERS = 2
LIMITS = LiveLimits(events_per_s=100_000, idle_seconds=30, seconds=60, send_seconds=30)


@pytest.fixture
def runtime(client: Client) -> Runtime:
    return client.runtime


async def opened(runtime: Runtime, /, limits: LiveLimits = LIMITS, **options: Any) -> LiveStream:
    stream = await runtime.live_streams.open(NAME, StreamOptions(**options))
    stream._limits = limits
    return stream


async def played(runtime: Runtime, talk: Talk, /, **options: Any) -> Messages:
    return await talk.run(await opened(runtime, **options))


async def predicted(client: Client, events: np.ndarray[Any, Any]) -> dict[str, Any]:
    columns = {name: events[:, index].tolist() for index, name in enumerate("txyp")}
    answer = await client.post(f"/v1/models/{NAME}/predict?detail=timesteps", json={"inputs": [{"events": columns}]})
    found: dict[str, Any] = answer.json()["predictions"][0]
    return found


@given(
    seeds=st.lists(st.integers(0, 50), min_size=1, max_size=4),
    cuts=st.lists(st.lists(st.integers(0, 800), max_size=20), min_size=4, max_size=4),
)
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_bytes_cut_anywhere_give_the_decisions_of_the_prediction_beside_other_streams(
    client: Client, seeds: list[int], cuts: list[list[int]]
) -> None:
    talks = [Talk(cut(as_bytes(bar(seed)), places)) for seed, places in zip(seeds, cuts, strict=False)]
    heard = await asyncio.gather(*(played(client.runtime, talk, scores=True) for talk in talks))
    for seed, messages in zip(seeds, heard, strict=True):
        assert_as_predicted(decisions(messages), await predicted(client, bar(seed)), VOTERS)


async def test_a_stream_says_that_it_is_ready_then_its_decisions_then_its_sums(runtime: Runtime) -> None:
    ready, *found, closed = await played(runtime, Talk([as_bytes(bar(1))]))
    assert ready == {
        "type": "ready",
        "model": NAME,
        "version": 1,
        "step_us": EVENT_STEP_US,
        "timesteps": EVENT_STEPS,
    }
    assert [each["step"] for each in found] == list(range(EVENT_STEPS))
    assert all(each["type"] == "decision" and "scores" not in each for each in found)
    last = found[-1]
    assert closed == {
        "type": "closed",
        "steps": EVENT_STEPS,
        "events": len(bar(1)),
        "late": 0,
        "dropped": 0,
        "spikes_total": last["spikes_total"],
        "estimate_nj_total": last["estimate_nj_total"],
    }


async def test_text_and_binary_messages_and_every_command(runtime: Runtime) -> None:
    events = bar(2)
    messages: list[bytes | str] = [as_text(events[:9]), as_bytes(events[9:]), '{"type": "flush"}', '{"type": "reset"}']
    again = [as_text(bar(3, at_us=0)), '{"type": "close"}', as_text(bar(4))]
    first = decisions(await played(runtime, Talk([as_bytes(events)]), scores=True))
    second = decisions(await played(runtime, Talk([as_text(bar(3, at_us=0))]), scores=True, format="json"))
    found = decisions(await played(runtime, Talk([*messages, *again]), scores=True))
    assert [each["scores"] for each in found] == [each["scores"] for each in [*first, *second]]
    assert [each["step"] for each in found] == 2 * list(range(EVENT_STEPS))
    assert found[-1]["spikes_total"] == first[-1]["spikes_total"] + second[-1]["spikes_total"]


BAD = [
    ({}, b"\xff" * 13, "invalid_events"),
    ({}, as_bytes(bar(1) + np.array([0, 100, 0, 0])), "invalid_events"),
    ({}, as_bytes(bar(1))[:-1], "invalid_events"),
    ({"format": "evt3"}, struct.pack("<H", 1 << 12), "invalid_events"),
    ({"format": "json"}, as_bytes(bar(1)), "invalid_parameter"),
    ({}, "{", "invalid_json"),
    ({}, '{"type": "stop"}', "invalid_parameter"),
    ({}, '{"events": {"t": [1], "x": [0], "y": [0], "p": [2]}}', "invalid_events"),
    ({}, " " * (LONGEST_TEXT + 1), "body_too_large"),
]


@pytest.mark.parametrize(("options", "message", "code"), BAD)
async def test_what_is_not_events_ends_the_stream_with_the_reason(
    runtime: Runtime, options: dict[str, Any], message: bytes | str, code: str
) -> None:
    good: bytes | str = as_text(bar(1)) if options else as_bytes(bar(1))
    talk = Talk([good, message, good])
    *_, error, closed = await played(runtime, talk, **options)
    assert (error["type"], error["error"]["code"], closed["type"]) == ("error", code, "closed")
    assert talk.error is not None
    assert talk.error.code == code
    assert closed["events"] >= len(bar(1))
    assert len(runtime.live_streams) == 0


async def test_more_events_than_may_come_in_a_second_end_the_stream(runtime: Runtime) -> None:
    limits = LiveLimits(events_per_s=1000, idle_seconds=30, seconds=60, send_seconds=30)
    stream = await opened(runtime, limits)
    stream._rate = _Rate(limits.events_per_s)
    whole = np.repeat(bar(1)[:1], 1001 + 3000, axis=0)
    *_, error, closed = await Talk([as_bytes(whole[:10]), as_bytes(whole)]).run(stream)
    assert (error["error"]["code"], error["error"]["param"]) == ("too_many_events", "events")
    assert "SNN_LIVE_EVENTS_PER_S" in error["error"]["message"]
    assert closed["events"] == 10


async def test_more_events_than_fit_the_buffer_end_the_stream(runtime: Runtime) -> None:
    most = runtime.settings.live_buffer_bytes // 32
    limits = LiveLimits(events_per_s=10 * most, idle_seconds=30, seconds=60, send_seconds=30)
    stream = await opened(runtime, limits)
    *_, error, closed = await Talk([as_bytes(np.repeat(bar(1)[:1], most + 1, axis=0))]).run(stream)
    assert (error["error"]["code"], error["error"]["param"]) == ("too_many_events", "events")
    assert closed["events"] <= most


@pytest.mark.parametrize(
    ("changes", "code"), [({"idle_seconds": 0.05}, "request_timeout"), ({"seconds": 0.05}, "deadline_exceeded")]
)
async def test_a_stream_that_takes_too_long_ends(runtime: Runtime, changes: dict[str, float], code: str) -> None:
    fields = {"events_per_s": 1000, "idle_seconds": 30, "seconds": 60, "send_seconds": 30} | changes
    talk = Talk([as_bytes(bar(1))], stays=True)
    _, *found, error, closed = await talk.run(await opened(runtime, LiveLimits(**fields)))  # type: ignore[arg-type]
    assert (error["error"]["code"], closed["steps"]) == (code, len(found)) == (code, EVENT_STEPS - 1)
    assert next(iter(changes)).upper() in error["error"]["message"]


async def test_a_client_that_does_not_read_ends_its_stream_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = LiveLimits(events_per_s=1000, idle_seconds=30, seconds=60, send_seconds=0.05)
    talk, other = Talk([as_bytes(bar(1))], reads=2), Talk([as_bytes(bar(2))])
    await asyncio.gather(talk.run(await opened(runtime, slow)), played(runtime, other))
    assert isinstance(talk.error, Overloaded)
    assert len(talk.heard) == 2
    assert len(other.heard) == EVENT_STEPS + 2


async def test_a_failure_of_the_network_or_of_the_service_ends_one_stream_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [await opened(runtime) for _ in range(3)]
    for stream, failure in zip(streams, (ModelError("not finite"), RuntimeError("a bug")), strict=False):

        async def fails(*_: object, failure: Exception = failure) -> Any:
            raise failure

        monkeypatch.setattr(stream.session, "_batcher", type("Failing", (), {"step": fails})())
    talks = [Talk([as_bytes(bar(5))]) for _ in streams]
    heard = await asyncio.gather(*(talk.run(stream) for talk, stream in zip(talks, streams, strict=True)))
    assert [messages[-2].get("error", {}).get("code") for messages in heard] == ["model_error", "internal_error", None]
    assert "bug" not in str(heard[1])
    assert decisions(heard[2]) != []
    assert heard[2][-1] == (await played(runtime, Talk([as_bytes(bar(5))])))[-1]


async def test_what_cannot_be_opened_takes_no_place(runtime: Runtime) -> None:
    streams, options = runtime.live_streams, StreamOptions()
    users = runtime.registry._models[NAME].versions[1].users
    failures: list[tuple[type[ServiceError], str, StreamOptions, int | None]] = [
        (ModelNotFound, "nothing", options, None),
        (VersionNotFound, NAME, options, 9),
        (WrongInputKind, "tiny-image", options, None),
        (InvalidParameter, NAME, StreamOptions(crop="0,0,9,8"), None),
        (InvalidParameter, NAME, StreamOptions(crop="1,2"), None),
        (InvalidParameter, NAME, StreamOptions(energy_profile="loihy"), None),
    ]
    for kind, name, each, version in failures:
        with pytest.raises(kind):
            await streams.open(name, each, version=version)
    assert len(streams) == 0
    assert not streams._places
    assert runtime.registry._models[NAME].versions[1].users == users


async def test_places_are_limited_in_all_and_for_a_caller(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    few = runtime.settings.model_copy(update={"max_live_streams": 3, "max_live_streams_per_key": 2})
    streams = runtime.live_streams
    monkeypatch.setattr(streams, "_settings", few)

    async def open(caller: str) -> LiveStream:
        return await streams.open(NAME, StreamOptions(), caller=caller)

    held = [await open("one"), await open("one")]
    with pytest.raises(Overloaded, match="2 streams of this client"):
        await open("one")
    held.append(await open("other"))
    with pytest.raises(Overloaded, match="3 streams are already open"):
        await open("third")
    held.pop().end()
    held.append(await open("third"))
    for stream in held:
        stream.end()
        stream.end()
    assert not streams._places


async def test_a_shutdown_ends_open_streams_and_opens_no_more(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = runtime.live_streams
    idle, fresh = Talk([as_bytes(bar(1))], stays=True), Talk([as_bytes(bar(1))])
    running = asyncio.create_task(played(runtime, idle))
    later = await opened(runtime)
    while len(idle.heard) < EVENT_STEPS:
        await asyncio.sleep(0.001)
    streams.stop()
    try:
        for heard in (await running, await fresh.run(later)):
            assert [heard[-2]["error"]["code"], heard[-1]["type"]] == ["shutting_down", "closed"]
        assert isinstance(idle.error, ShuttingDown)
        with pytest.raises(ShuttingDown):
            await opened(runtime)
    finally:
        streams._is_stopping = False


async def test_streams_are_counted(client: Client) -> None:
    async def metric(name: str) -> float:
        lines = (await client.get("/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    names = [
        "snn_stream_steps_total",
        'snn_stream_events_total{model="tiny-events",outcome="taken"}',
        'snn_stream_events_total{model="tiny-events",outcome="dropped"}',
        'snn_stream_events_total{model="tiny-events",outcome="late"}',
        'snn_spikes_total{model="tiny-events"}',
    ]
    before = [await metric(name) for name in names]
    stream = await opened(client.runtime, max_events_per_s=2000)
    assert await metric("snn_streams ") == 1
    late = bar(1) - np.array([EVENT_STEPS * EVENT_STEP_US, 0, 0, 0])
    closed = (await Talk([as_bytes(bar(1)), as_bytes(late), '{"type": "close"}']).run(stream))[-1]
    assert await metric("snn_streams ") == 0
    after = [await metric(name) for name in names]
    assert closed["dropped"] > 0
    assert closed["late"] > 0
    expected = [closed[name] for name in ("steps", "events", "dropped", "late", "spikes_total")]
    assert [end - start for start, end in zip(before, after, strict=True)] == expected
