import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.hostile.server import Server, started
from tests.service.serving import Client, serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tiny_store_root: Path) -> AsyncIterator[Client]:
    """A client of an app over the read-only store, one for the tests of a module."""
    async with serving(tiny_store_root) as running:
        yield running


@pytest.fixture(scope="session")
def server(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of its own process over the read-only store, one for all tests."""
    if sys.platform != "linux":
        pytest.skip("memory is read from /proc")
    log = tmp_path_factory.mktemp("server") / "log"
    with started(log, MODEL_STORE=str(tiny_store_root)) as running:
        yield running
