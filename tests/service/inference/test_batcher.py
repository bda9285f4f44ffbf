"""Batches of real networks: who runs with whom, in what order, and that it makes no difference to the numbers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.errors import DeadlineExceeded, Overloaded, ShuttingDown
from service.engine.interface import Activity, EventSample, ImageSample, Sample
from service.inference.admission import Admission
from service.inference.batcher import Batcher
from service.inference.device_thread import DeviceThread, Run
from service.inference.pending import Result
from service.models.version import Loaded
from service.telemetry.power_window import Power, PowerWindow
from tests.service.constant_power import ConstantPower
from tests.service.models_in_memory import load_version
from tests.service.troubled import ROOM, SLOW, add_troubled
from tests.tiny import moving_bar


@pytest.fixture(scope="module")
def load(tiny_store_root: Path) -> Callable[[str], Loaded]:
    return lambda name: load_version(tiny_store_root, name)


@pytest.fixture(scope="module")
def images(load: Callable[[str], Loaded]) -> Loaded:
    return load("tiny-image")


@pytest.fixture(scope="module")
def events(load: Callable[[str], Loaded]) -> Loaded:
    return load("tiny-events")


def image(seed: int) -> ImageSample:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 8, 8), dtype=np.uint8)
    return ImageSample(pixels, seed)


def recording(seed: int) -> EventSample:
    return EventSample(moving_bar(np.random.default_rng(seed), right=bool(seed % 2)))


def assert_same(found: Sequence[Activity], expected: Sequence[Activity]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.spikes, other.spikes)
        np.testing.assert_array_equal(one.synops, other.synops)
        assert one.input == other.input


def alone(model: Loaded, samples: Sequence[Sample]) -> list[Activity]:
    return [model.engine.run([sample])[0] for sample in samples]


class Reports(list[tuple[str, Run]]):
    """The runs that a batcher reports, each with the name of its model."""

    def __call__(self, model: str, run: Run) -> None:
        self.append((model, run))


def batcher(
    *,
    max_queue_size: int = 64,
    power: PowerWindow | None = None,
    admission: Admission | None = None,
    **changes: Any,
) -> Batcher:
    settings = {"max_batch_size": 8, "max_batch_wait_ms": 0.0, "max_batch_cost": 10**9}
    admission = admission or Admission(max_requests=max_queue_size, max_bytes=10**9)
    return Batcher(DeviceThread(power=power), admission, **(settings | changes))


@asynccontextmanager
async def running(batcher: Batcher) -> AsyncIterator[Batcher]:
    await batcher.start()
    try:
        yield batcher
    finally:
        await batcher.stop()


async def queued(batcher: Batcher, *requests: tuple[Loaded, Sequence[Sample]]) -> list[asyncio.Task[Result]]:
    """Submit to a batcher that has not started, so that what runs together is certain."""
    tasks = [asyncio.create_task(batcher.submit(model, samples)) for model, samples in requests]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_runs_together_and_gives_each_what_it_gets_alone(images: Loaded, events: Loaded) -> None:
    for model, sample in ((images, image), (events, recording)):
        reports = Reports()
        waiting = batcher(on_run=reports)
        requests: list[list[Sample]] = [[sample(0)], [sample(1), sample(2), sample(3)], [sample(4)], [sample(0)]]
        tasks = await queued(waiting, *((model, samples) for samples in requests))
        assert waiting.depth == 4
        async with running(waiting):
            answers = await asyncio.gather(*tasks)
        assert [run.rows for _, run in reports] == [6]
        assert {answer.batch_size for answer in answers} == {6}
        for answer, samples in zip(answers, requests, strict=True):
            assert_same(answer.activities, alone(model, samples))
        assert waiting.depth == 0


async def test_requests_that_end_by_other_leads_do_not_run_together(images: Loaded) -> None:
    reports, samples = Reports(), [image(seed) for seed in range(4)]
    waiting = batcher(on_run=reports)
    at_once, at_last = (0,) * 4, (99, 99, 99, 0)
    kinds = [None, at_once, None, at_last, at_once]
    tasks = [asyncio.create_task(waiting.submit(images, samples[:2], leads=leads)) for leads in kinds]
    await asyncio.sleep(0)
    async with running(waiting):
        found = [answer.activities for answer in await asyncio.gather(*tasks)]
    assert [run.rows for _, run in reports] == [4, 4, 2]
    assert [[len(each.scores) for each in activities] for activities in found] == [
        [4] * 2,
        [1] * 2,
        [4] * 2,
        [4] * 2,
        [1] * 2,
    ]
    assert_same(found[3], alone(images, samples[:2]))


async def test_the_wait_is_estimated_once_the_queue_fills_a_batch(images: Loaded, events: Loaded) -> None:
    admission = Admission(max_requests=64, max_bytes=10**9)
    waiting = batcher(admission=admission)
    tasks = await queued(waiting, (images, [image(0)] * 30))
    assert admission.wait_seconds == 0  # nobody knows how long a row takes
    async with running(waiting):
        await asyncio.gather(*tasks)
        begun = time.perf_counter()
        await waiting.submit(images, [image(0)] * 8)
        a_batch = time.perf_counter() - begun
        tasks = await queued(waiting, (images, [image(0)] * 4), (events, [recording(0)] * 3))
        assert admission.wait_seconds == 0  # what comes now would be in the next batch
        tasks += await queued(waiting, (images, [image(0)] * 76))
        assert 0 < admission.wait_seconds <= 11 * a_batch
        tasks[-1].cancel()
        await asyncio.wait([tasks[-1]])
        assert admission.wait_seconds == 0
        await asyncio.gather(*tasks[:-1])
    assert admission.wait_seconds == 0


async def test_the_batch_on_the_device_counts_towards_the_wait(store_root: Path) -> None:
    add_troubled(store_root)
    slow, marked = load_version(store_root, "troubled"), [ImageSample(image(0).pixels, SLOW)]
    admission = Admission(max_requests=64, max_bytes=10**9)
    waiting = batcher(admission=admission, max_batch_size=1)
    async with running(waiting):
        begun = time.perf_counter()
        await waiting.submit(slow, marked)
        a_batch = time.perf_counter() - begun
        first = asyncio.create_task(waiting.submit(slow, marked))
        await asyncio.sleep(0)
        while waiting.depth:
            await asyncio.sleep(0)
        [second] = await queued(waiting, (slow, marked))
        assert a_batch < admission.wait_seconds < 2.1 * a_batch
        await asyncio.gather(first, second)


async def test_a_queue_that_takes_too_long_takes_no_more(images: Loaded, events: Loaded) -> None:
    waiting = batcher(admission=Admission(max_requests=64, max_bytes=10**9, max_seconds=1e-9))
    async with running(waiting):
        await waiting.submit(images, [image(0)] * 8)
        tasks = await queued(waiting, (images, [image(0)] * 8))
        with pytest.raises(Overloaded, match="take more than"):
            await waiting.submit(images, [image(0)])
        await asyncio.gather(*tasks)
        await waiting.submit(images, [image(0)])


async def test_a_blank_sample_needs_no_room(images: Loaded) -> None:
    admission = Admission(max_requests=1, max_bytes=1)
    waiting = batcher(admission=admission)
    async with running(waiting):
        with admission.request() as ticket:
            ticket.hold(1)
            with pytest.raises(Overloaded):
                await waiting.submit(images, [image(0)])
            assert len((await waiting.run_blank(images)).activities) == 1


async def test_a_request_larger_than_a_batch_is_split(images: Loaded) -> None:
    reports = Reports()
    waiting = batcher(max_batch_size=4, on_run=reports)
    samples: list[Sample] = [image(seed) for seed in range(10)]
    large, small = await queued(waiting, (images, samples), (images, [image(99)]))
    async with running(waiting):
        assert_same((await large).activities, alone(images, samples))
        assert_same((await small).activities, alone(images, [image(99)]))
    assert [run.rows for _, run in reports] == [4, 4, 3]
    assert (await large).batch_size == 4
    assert (await small).batch_size == 3
    assert len((await large).measured_mj) == 10
    assert (await large).compute_ms == pytest.approx(sum(run.seconds for _, run in reports) * 1000)


async def test_the_cost_of_the_input_bounds_a_batch(images: Loaded) -> None:
    for cost, expected in ((3 * 4 * 64, [3, 2]), (4 * 4 * 64 - 1, [3, 2]), (1, [1, 1, 1, 1, 1])):
        reports = Reports()
        waiting = batcher(max_batch_cost=cost, on_run=reports)
        tasks = await queued(waiting, *((images, [image(seed)]) for seed in range(5)))
        async with running(waiting):
            await asyncio.gather(*tasks)
        assert [run.rows for _, run in reports] == expected


async def test_the_oldest_request_runs_first_whatever_its_model(images: Loaded, events: Loaded) -> None:
    reports = Reports()
    waiting = batcher(max_batch_size=2, on_run=reports)
    a, b = (images, [image(0)]), (events, [recording(0)])
    tasks = await queued(waiting, a, b, a, a, b)
    async with running(waiting):
        await asyncio.gather(*tasks)
    ran = [(model, run.rows) for model, run in reports]
    assert ran == [("tiny-image", 2), ("tiny-events", 2), ("tiny-image", 1)]


async def test_two_loaded_copies_of_one_model_do_not_share_a_batch(
    images: Loaded, load: Callable[[str], Loaded]
) -> None:
    reports = Reports()
    waiting = batcher(on_run=reports)
    tasks = await queued(waiting, (images, [image(0)]), (load("tiny-image"), [image(0)]))
    async with running(waiting):
        await asyncio.gather(*tasks)
    assert [run.rows for _, run in reports] == [1, 1]


async def test_a_full_queue_refuses_at_once_and_serves_those_who_wait(images: Loaded) -> None:
    waiting = batcher(max_queue_size=3)
    tasks = await queued(waiting, *((images, [image(seed), image(seed)]) for seed in range(3)))
    with pytest.raises(Overloaded, match="3 requests are already waiting"):
        await asyncio.wait_for(waiting.submit(images, [image(3)]), 0.5)
    assert waiting.depth == 3
    async with running(waiting):
        answers = await asyncio.gather(*tasks)
        assert len((await waiting.submit(images, [image(3)])).activities) == 1
    assert [len(answer.activities) for answer in answers] == [2, 2, 2]


async def test_a_failing_sample_fails_its_own_request_and_no_other(
    images: Loaded, events: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    reports = Reports()
    waiting = batcher(max_batch_size=4, on_run=reports)
    unlike = ImageSample(np.zeros((1, 5, 7), dtype=np.uint8))
    tasks = await queued(
        waiting,
        (images, [image(0), unlike]),
        (images, [image(1)]),
        (events, [recording(0)]),
        (images, [image(3), unlike, image(4), image(5), image(6), image(7)]),
        (images, [image(2)]),
    )
    async with running(waiting):
        for failing in (tasks[0], tasks[3]):
            with pytest.raises(torch.jit.Error, match="do not have the model's channels"):
                await failing
        assert_same((await tasks[1]).activities, alone(images, [image(1)]))
        assert_same((await tasks[2]).activities, alone(events, [recording(0)]))
        assert_same((await tasks[4]).activities, alone(images, [image(2)]))
        assert (await tasks[1]).batch_size == 1
        assert_same((await waiting.submit(images, [image(4)])).activities, alone(images, [image(4)]))
    # Batches of rows 0 - 1 3, then - 4 5 6, each again one by one; row 7 of the failed request never runs.
    assert [model for model, _ in reports] == ["tiny-image"] * 3 + ["tiny-events"] + ["tiny-image"] * 5
    assert {run.rows for _, run in reports} == {1}
    assert "a batch of 4 for tiny-image/1 failed" in caplog.text


async def test_batches_stay_as_small_as_the_memory_asks(store_root: Path) -> None:
    add_troubled(store_root)
    troubled = load_version(store_root, "troubled")
    reports = Reports()
    waiting = batcher(max_batch_size=2 * ROOM, on_run=reports)
    tasks = await queued(waiting, *((troubled, [image(seed)]) for seed in range(4 * ROOM)))
    async with running(waiting):
        for seed, task in enumerate(tasks):
            assert_same((await task).activities, alone(troubled, [image(seed)]))
    assert [run.rows for _, run in reports] == [ROOM] * 4
    assert {(await task).batch_size for task in tasks} == {ROOM}


async def test_a_request_whose_time_is_over_is_not_taken_however_late_its_timer_is(images: Loaded) -> None:
    reports = Reports()
    entrance = Admission(max_requests=8, max_bytes=10**6)
    waiting = Batcher(
        DeviceThread(), entrance, max_batch_size=8, max_batch_wait_ms=0.0, max_batch_cost=10**9, on_run=reports
    )

    async def ask(seconds: float) -> Result:
        with entrance.request(seconds=seconds) as ticket:
            return await waiting.submit(images, [image(0), image(1)], ticket)

    late, punctual = asyncio.create_task(ask(0.02)), asyncio.create_task(ask(60))
    await asyncio.sleep(0)
    assert entrance.bytes == 4 * 64
    time.sleep(0.05)  # the event loop is held up
    assert not late.done()
    batch = waiting._take(images.engine)
    assert len(batch) == 1
    await waiting._run(batch)
    with pytest.raises(DeadlineExceeded):
        await late
    assert len((await punctual).activities) == 2
    assert [run.rows for _, run in reports] == [2]
    assert (entrance.bytes, entrance.requests) == (0, 0)


async def test_a_caller_who_leaves_frees_the_queue_and_harms_nobody(images: Loaded) -> None:
    reports = Reports()
    waiting = batcher(on_run=reports)
    tasks = await queued(waiting, *((images, [image(seed)]) for seed in range(3)))
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert waiting.depth == 2
    async with running(waiting):
        assert_same((await tasks[0]).activities, alone(images, [image(0)]))
        assert_same((await tasks[2]).activities, alone(images, [image(2)]))
    assert [run.rows for _, run in reports] == [2]


async def test_a_caller_who_leaves_while_the_batch_runs_harms_nobody(images: Loaded) -> None:
    many: list[Sample] = [image(seed) for seed in range(2000)]
    waiting = batcher(max_batch_size=5000)
    leaving, staying = await queued(waiting, (images, many), (images, [image(1)]))
    async with running(waiting):
        while waiting.depth:
            await asyncio.sleep(0)
        assert not staying.done()
        leaving.cancel()
        assert_same((await staying).activities, alone(images, [image(1)]))
        assert leaving.cancelled()
        assert (await staying).batch_size == 2001
        assert len((await waiting.submit(images, [image(2)])).activities) == 1


async def test_stopping_finishes_what_is_queued_and_takes_no_more(images: Loaded) -> None:
    waiting = batcher(max_batch_size=1, max_batch_wait_ms=60_000)
    tasks = await queued(waiting, *((images, [image(seed)]) for seed in range(5)))
    await waiting.start()
    stopping = asyncio.create_task(waiting.stop())
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await waiting.submit(images, [image(9)])
    await asyncio.wait_for(stopping, 10)
    assert [len(task.result().activities) for task in tasks] == [1] * 5


async def test_stopping_does_not_wait_for_a_stuck_device_for_longer_than_it_is_told(store_root: Path) -> None:
    add_troubled(store_root)
    troubled = load_version(store_root, "troubled")
    waiting = batcher(max_batch_size=1)
    stuck, behind = await queued(waiting, (troubled, [ImageSample(image(0).pixels, SLOW)]), (troubled, [image(1)]))
    await waiting.start()
    while waiting.depth == 2:
        await asyncio.sleep(0)
    assert not await waiting.stop(0.01)
    for each in (stuck, behind):
        with pytest.raises(ShuttingDown):
            await asyncio.wait_for(each, 1)
    waiting._device.stop(wait=True)


async def test_an_idle_batcher_stops(images: Loaded) -> None:
    waiting = batcher()
    await waiting.start()
    await asyncio.sleep(0)
    await asyncio.wait_for(waiting.stop(), 5)


async def test_a_batch_waits_to_fill_only_as_long_as_allowed(images: Loaded) -> None:
    async with running(batcher(max_batch_wait_ms=1000.0)) as waiting:
        first = asyncio.create_task(waiting.submit(images, [image(0)]))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(waiting.submit(images, [image(1)]))
        answers = await asyncio.gather(first, second)
    assert [answer.batch_size for answer in answers] == [2, 2]
    assert answers[0].queue_ms >= 1000
    assert answers[1].queue_ms <= answers[0].queue_ms - 40


async def test_a_full_batch_does_not_wait(images: Loaded) -> None:
    async with running(batcher(max_batch_size=2, max_batch_wait_ms=60_000.0)) as waiting:
        tasks = [asyncio.create_task(waiting.submit(images, [image(seed)])) for seed in range(2)]
        answers = await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert [answer.batch_size for answer in answers] == [2, 2]


async def test_a_full_batch_does_not_wait_for_another_models_to_fill(images: Loaded, events: Loaded) -> None:
    async with running(batcher(max_batch_size=2, max_batch_wait_ms=60_000.0)) as waiting:
        [oldest] = await queued(waiting, (events, [recording(0)]))
        await asyncio.sleep(0.01)
        full = await queued(waiting, (images, [image(0)]), (images, [image(1)]))
        answers = await asyncio.wait_for(asyncio.gather(*full), 10)
        assert [answer.batch_size for answer in answers] == [2, 2]
        assert not oldest.done()
        assert waiting.depth == 1
    assert (await oldest).batch_size == 1


async def test_full_batches_of_one_model_do_not_starve_another(images: Loaded, events: Loaded) -> None:
    async with running(batcher(max_batch_size=2, max_batch_wait_ms=20.0)) as waiting:
        [alone_in_its_batch] = await queued(waiting, (events, [recording(0)]))
        crowd: list[asyncio.Task[Result]] = []
        async with asyncio.timeout(20):
            while not alone_in_its_batch.done():
                if waiting.depth < 20:
                    crowd += await queued(waiting, *((images, [image(0)]) for _ in range(4)))
                await asyncio.sleep(0)
        await asyncio.gather(*crowd)


async def test_times_are_split_into_waiting_and_computing(images: Loaded) -> None:
    reports = Reports()
    waiting = batcher(max_batch_size=1, on_run=reports)
    began = time.perf_counter()
    tasks = await queued(waiting, (images, [image(0)]), (images, [image(1)]))
    apart_ms = (time.perf_counter() - began) * 1000
    await asyncio.sleep(0.05)
    async with running(waiting):
        first, second = await asyncio.gather(*tasks)
    assert first.queue_ms >= 50
    assert second.queue_ms + apart_ms >= first.queue_ms + first.compute_ms
    assert [run.seconds * 1000 for _, run in reports] == [first.compute_ms, second.compute_ms]
    assert second.queue_ms - first.queue_ms <= (reports[1][1].started - reports[0][1].started) * 1000
    assert first.compute_ms > 0


async def test_each_request_of_a_batch_reports_its_own_wait(images: Loaded) -> None:
    reports = Reports()
    waiting = batcher(on_run=reports)
    tasks = []
    for seed in range(3):
        tasks += await queued(waiting, (images, [image(seed)]))
        await asyncio.sleep(0.05)
    async with running(waiting):
        waits = [(await task).queue_ms for task in tasks]
    assert [run.rows for _, run in reports] == [3]
    assert waits[0] >= waits[1] + 50 >= waits[2] + 100
    assert waits[2] >= 50


async def test_a_split_request_waited_until_its_first_batch(images: Loaded) -> None:
    reports = Reports()
    waiting = batcher(max_batch_size=1, on_run=reports)
    [task] = await queued(waiting, (images, [image(0), image(1)]))
    arrived = time.perf_counter()
    async with running(waiting):
        answer = await task
    (_, first), (_, second) = reports
    assert answer.queue_ms == pytest.approx((first.started - arrived) * 1000, abs=20)
    assert answer.queue_ms < (second.started - arrived) * 1000


async def test_measured_energy_is_shared_by_the_rows_of_a_batch(images: Loaded) -> None:
    reports = Reports()
    waiting = batcher(max_batch_size=4, power=ConstantPower(2.0), on_run=reports)
    tasks = await queued(waiting, (images, [image(0)]), (images, [image(seed) for seed in range(4)]))
    async with running(waiting):
        one, four = await asyncio.gather(*tasks)
    first, second = (run.seconds * 2.0 * 1000 for _, run in reports)
    assert one.measured_mj == [first / 4]
    assert four.measured_mj == [first / 4, first / 4, first / 4, second]
    assert [run.joules for _, run in reports] == [first / 1000, second / 1000]
    assert four.power == Power(2.0, 0.5, 10.0, "rapl")


async def test_energy_that_is_not_known_is_absent_and_not_zero(images: Loaded) -> None:
    for power in (None, ConstantPower(None)):
        async with running(batcher(power=power)) as waiting:
            result = await waiting.submit(images, [image(0)])
        assert (result.measured_mj, result.power) == ([None], None)


async def test_a_report_that_fails_does_not_stop_the_device(images: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    def fail(model: str, run: Run) -> None:
        raise RuntimeError("no room for metrics")

    async with running(batcher(on_run=fail)) as waiting:
        for seed in range(2):
            assert len((await waiting.submit(images, [image(seed)])).activities) == 1
    assert "no room for metrics" in caplog.text


async def test_a_request_without_samples_is_refused(images: Loaded) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        await batcher().submit(images, [])


async def test_the_event_loop_stays_free_while_the_device_computes(images: Loaded) -> None:
    many: list[Sample] = [image(seed) for seed in range(3000)]
    async with running(batcher(max_batch_size=5000)) as waiting:
        task = asyncio.create_task(waiting.submit(images, many))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
    assert turns > 5
