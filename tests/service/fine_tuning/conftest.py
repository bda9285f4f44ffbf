from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.fine_tuning.queue import JobQueue
from tests.service.jobs_at_work import DATABASES, new_database


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_database(request.param, tmp_path)


@pytest_asyncio.fixture
async def jobs(url: str, tmp_path: Path) -> AsyncIterator[JobQueue]:
    opened = JobQueue(url, tmp_path / "data" / "jobs")
    yield opened
    await opened.close()
