import asyncio

import pytest

from service.fine_tuning import watcher
from service.fine_tuning.queue import JobQueue
from tests.service.jobs_at_work import job_spec

JOB = job_spec(1).id


async def test_a_stream_that_opens_while_one_of_the_looks_still_rests_has_both(
    jobs: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "EVENTS_SECONDS", 0.01)
    monkeypatch.setattr(watcher, "STATUS_SECONDS", 1.0)
    await jobs.submit(job_spec(1))
    jobs.histories.folder(JOB).mkdir(parents=True)
    watching = watcher.Watcher(jobs, lambda: False)
    with watching.watching(JOB) as first:
        async with asyncio.timeout(20):
            while first.end is None or not first.message:
                await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # the look at events has ended, and the one at jobs rests
    with watching.watching(JOB) as second:
        async with asyncio.timeout(20):
            while second.end is None or not second.message:
                await asyncio.sleep(0.01)
    await watching.close()
