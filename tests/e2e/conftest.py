import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.jobs import World
from tests.service.jobs_at_work import DATABASES, new_database


@pytest.fixture(params=DATABASES)
def world(request: pytest.FixtureRequest, store_root: Path, tmp_path: Path) -> Iterator[World]:
    """A world of jobs, on each kind of database that there is."""
    with asyncio.Runner() as runner:
        world = World(store_root, tmp_path / "data", new_database(request.param, tmp_path), runner)
        try:
            yield world
        finally:
            world.close()
