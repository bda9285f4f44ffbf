import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.telemetry.logs import RequestIdFilter
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


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What is logged meanwhile, as `request id: message`."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{getattr(record, 'request_id', '?')}: {record.getMessage()}")

    handler = Lines()
    handler.addFilter(RequestIdFilter())
    log = logging.getLogger("service")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
    log.setLevel(level)
