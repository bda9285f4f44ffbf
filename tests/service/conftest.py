from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.service.serving import Client, Serve, serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tiny_store_root: Path) -> AsyncIterator[Client]:
    """A client of an app over the read-only store, one for the tests of a module."""
    async with serving(tiny_store_root) as running:
        yield running


@pytest.fixture
def serve() -> Serve:
    """Run an app of one's own: `async with serve(store_root, max_inputs=2) as client`."""
    return serving
