"""What ends a child that does not end by itself: it gives no sign of life, or its job has trained too long."""

import asyncio
import time
from pathlib import Path
from typing import Literal

from contract.job_events import Resumed, Started, Waiting, read_events
from training.worker.child import Child

WATCH_SECONDS = 1.0

Overdue = Literal["stalled", "time_limit"]


async def until_overdue(child: Child, stall_seconds: float, train_seconds: float) -> Overdue:
    """Wait until the child has given no sign of life for `stall_seconds`, or its job has trained for `train_seconds`.

    A child trains from its `Started` event on; before that, it may wait for its device. While the worker itself is
    stopped, no time passes.
    """
    last, silent, trained = child.last_sign(), 0.0, 0.0
    has_started = False
    before = time.monotonic()
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        passed = min(time.monotonic() - before, 2 * WATCH_SECONDS)
        before = time.monotonic()
        sign = child.last_sign()
        silent = 0.0 if sign != last else silent + passed
        last = sign
        if silent >= stall_seconds:
            return "stalled"
        if has_started:
            trained += passed
        elif child.has_started():
            has_started = True
            trained = await asyncio.to_thread(trained_seconds, child.folder)
        if trained >= train_seconds:
            return "time_limit"


def trained_seconds(folder: Path) -> float:
    """How long the job in `folder` has trained since it was made, or was last resumed, as its events say."""
    total, begun, last = 0.0, None, 0.0
    for _, event in read_events(folder):
        if isinstance(event.data, Started | Waiting | Resumed):
            total = 0.0 if isinstance(event.data, Resumed) else total + (0.0 if begun is None else last - begun)
            begun = event.created_at if isinstance(event.data, Started) else None
        last = event.created_at
    return total + (0.0 if begun is None else max(0.0, last - begun))
