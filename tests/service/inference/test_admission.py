import asyncio
from typing import Any

import pytest

from contract.errors import DeadlineExceeded, Overloaded, RequestTimeout, ServiceError, ShuttingDown, Unavailable
from service.inference.admission import SMALL_BODY, Admission, ClientLeft, Reason, Stage, Ticket

ENDLESS = 60.0


def admission(*, max_requests: int = 3, max_bytes: int = 100) -> tuple[Admission, list[tuple[Stage, Reason]]]:
    drops: list[tuple[Stage, Reason]] = []
    made = Admission(
        max_requests=max_requests, max_bytes=max_bytes, on_drop=lambda stage, reason: drops.append((stage, reason))
    )
    return made, drops


async def stay(entrance: Admission, stage: Stage, end: Reason | None = None, **how: Any) -> None:
    """A request that goes as far as `stage` and stays there; with `end`, until it is ended."""
    with entrance.request(**how) as ticket:
        ticket.hold(50)
        ticket.enter(stage)
        if end is not None:
            ticket.end(end)
            ticket.end("deadline")
        await asyncio.sleep(ENDLESS)


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("load", Unavailable),
        ("body", RequestTimeout),
        ("decode", DeadlineExceeded),
        ("queue", DeadlineExceeded),
        ("device", DeadlineExceeded),
    ],
)
async def test_a_deadline_ends_a_request_wherever_it_is(stage: Stage, error: type[ServiceError]) -> None:
    entrance, drops = admission()
    with pytest.raises(error):
        await stay(entrance, stage, seconds=0.01)
    assert drops == [(stage, "deadline")]
    assert (entrance.requests, entrance.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("reason", "error"),
    [("client_left", ClientLeft), ("shutting_down", ShuttingDown), ("slow_body", RequestTimeout)],
)
async def test_a_request_ends_by_the_first_reason_that_is_given(reason: Reason, error: type[Exception]) -> None:
    entrance, drops = admission()
    with pytest.raises(error):
        await stay(entrance, "queue", reason, seconds=ENDLESS)
    assert drops == [("queue", reason)]


async def test_one_timer_keeps_the_deadlines_of_all_in_whatever_order_they_come() -> None:
    entrance, drops = admission(max_requests=9)
    loop = asyncio.get_running_loop()
    late: list[float] = []

    async def wait(seconds: float) -> None:
        ends = loop.time() + seconds
        with pytest.raises(DeadlineExceeded):
            await stay(entrance, "decode", seconds=seconds, memory=False)
        late.append(loop.time() - ends)

    await asyncio.gather(*(wait(seconds) for seconds in (0.2, 0.02, 0.021, 0.1, 0.0)))
    assert min(late) >= -0.001
    assert len(drops) == 5
    assert entrance._timer is None


async def test_an_end_after_the_deadline_changes_nothing() -> None:
    entrance, drops = admission()

    async def wait() -> None:
        with entrance.request(seconds=0.01) as ticket:
            tickets.append(ticket)
            await asyncio.sleep(ENDLESS)

    tickets: list[Ticket] = []
    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    while tickets[0].ended is None:
        await asyncio.sleep(0)
    tickets[0].end("client_left")
    tickets[0].answering()
    with pytest.raises(Unavailable):
        await waiting
    assert drops == [("load", "deadline")]


async def test_an_answer_that_has_begun_is_not_broken_off() -> None:
    entrance, drops = admission()
    with entrance.request(seconds=0.01) as ticket:
        ticket.answering()
        await asyncio.sleep(0.05)
    assert drops == []


async def test_a_time_limit_of_someone_else_stays_theirs() -> None:
    entrance, drops = admission()
    with pytest.raises(TimeoutError), entrance.request(seconds=ENDLESS):
        await asyncio.wait_for(asyncio.sleep(ENDLESS), 0.01)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stay(entrance, "queue"), 0.01)
    assert drops == []


async def test_the_time_that_is_left_falls_to_nothing() -> None:
    entrance, _ = admission()
    with entrance.request(seconds=0.05) as ticket:
        ticket.answering()
        assert 0 < ticket.remaining <= 0.05
        await asyncio.sleep(0.06)
        assert ticket.remaining == 0
    with entrance.request() as ticket:
        assert ticket.remaining == float("inf")


async def test_only_those_that_wait_take_a_place() -> None:
    entrance, _ = admission(max_requests=1)
    with entrance.request() as first:
        with pytest.raises(Overloaded, match="1 requests are already waiting"), entrance.request():
            pass
        for stage in ("body", "device"):
            first.enter(stage)
            with entrance.request() as second:
                with pytest.raises(Overloaded):
                    first.enter("queue")
                second.enter(stage)
                first.enter("decode")
                first.enter("queue")
    assert entrance.requests == 0


async def test_bytes_are_bounded_over_all_and_free_when_their_request_ends() -> None:
    entrance, _ = admission(max_bytes=100)
    with entrance.request() as first:
        first.hold(90)
        for announced in (11, 10**15):
            with pytest.raises(Overloaded, match="memory"), entrance.request(announced=announced):
                pass
        with entrance.request(announced=10) as second:
            second.hold(10)
            with pytest.raises(Overloaded):
                second.hold(11)
            assert entrance.bytes == 100
            second.hold(5)
            first.hold(95)
    assert entrance.bytes == 0


async def test_one_request_alone_may_hold_more_than_the_bound() -> None:
    entrance, _ = admission(max_bytes=100)
    with entrance.request(announced=1000) as ticket:
        ticket.hold(500)
        ticket.hold(1000)
        assert entrance.bytes == 1000


async def test_what_is_not_counted_has_a_deadline_and_no_bounds() -> None:
    entrance, drops = admission(max_requests=1, max_bytes=1)
    with entrance.request() as first:
        first.hold(1)
        staying = asyncio.create_task(stay(entrance, "decode", seconds=0.05, announced=50, places=False, memory=False))
        await asyncio.sleep(0)
        assert (entrance.requests, entrance.bytes) == (1, 1)
        with pytest.raises(DeadlineExceeded):
            await staying
    assert drops == [("decode", "deadline")]


async def test_arriving_bodies_leave_half_of_the_bytes_to_others() -> None:
    entrance, _ = admission(max_requests=9, max_bytes=16 * SMALL_BODY)
    with entrance.request(client="a") as first, entrance.request(client="b") as second:
        for ticket in (first, second):
            ticket.enter("body")
            ticket.hold(4 * SMALL_BODY)
        with pytest.raises(Overloaded, match="arriving"):
            second.hold(4 * SMALL_BODY + 1)
        with pytest.raises(Overloaded, match="arriving"), entrance.request(announced=SMALL_BODY + 1):
            pass
        with entrance.request(announced=SMALL_BODY) as small:
            small.enter("body")
            small.hold(SMALL_BODY)
            small.enter("decode")
            small.hold(5 * SMALL_BODY)
        second.enter("decode")
        second.hold(8 * SMALL_BODY)
        first.hold(4 * SMALL_BODY + 1)
    assert (entrance.requests, entrance.bytes, dict(entrance.arriving)) == (0, 0, {})


async def test_the_arriving_bodies_of_one_client_leave_room_for_those_of_others() -> None:
    entrance, _ = admission(max_requests=9, max_bytes=16 * SMALL_BODY)
    with entrance.request(client="a") as first, entrance.request(client="a") as second:
        for ticket in (first, second):
            ticket.enter("body")
            ticket.hold(3 * SMALL_BODY)
        with pytest.raises(Overloaded, match="arriving"):
            second.hold(3 * SMALL_BODY + 1)
        with entrance.request(client="b") as other:
            other.enter("body")
            other.hold(2 * SMALL_BODY)


async def test_a_body_that_arrives_alone_may_hold_more_than_the_bound() -> None:
    entrance, _ = admission(max_bytes=SMALL_BODY)
    with entrance.request(announced=9 * SMALL_BODY) as ticket:
        ticket.enter("body")
        ticket.hold(9 * SMALL_BODY)


async def test_a_queue_that_takes_too_long_is_full() -> None:
    entrance = Admission(max_requests=9, max_bytes=1, max_seconds=0.5)
    entrance.wait_seconds = 0.4
    assert not entrance.is_full()
    with entrance.request() as ticket:
        ticket.enter("body")
        entrance.wait_seconds = 0.6
        assert entrance.is_full()
        with pytest.raises(Overloaded, match="take more than"):
            ticket.enter("decode")
        with pytest.raises(Overloaded, match="take more than"), entrance.request():
            pass


async def test_those_that_are_on_their_way_count_towards_a_full_queue() -> None:
    entrance, _ = admission(max_requests=3)
    with entrance.request():
        assert [entrance.is_full(coming) for coming in range(4)] == [False, False, True, True]


async def test_closing_ends_what_is_open_and_lets_nothing_in() -> None:
    entrance, drops = admission()

    async def wait() -> None:
        with entrance.request() as ticket:
            ticket.enter("queue")
            await asyncio.sleep(ENDLESS)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    entrance.close()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown), entrance.request():
        pass
    assert drops == [("queue", "shutting_down")]
