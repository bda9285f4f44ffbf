from collections.abc import Iterator
from pathlib import Path

import pytest

from stl_snn_client import Client
from tests.stl_snn_client.running import Service, service_at


@pytest.fixture(scope="module")
def service(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service over the read-only store, with an API key."""
    with service_at(tiny_store_root, tmp_path_factory.mktemp("data"), api_keys="right") as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    """A client with the key."""
    with Client(service.url, api_key="right") as running:
        yield running
