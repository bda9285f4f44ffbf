import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.troubled import add_troubled
from tests.tiny import rewritten
from tests.torchserve.server import QUEUE, TorchServe, write_archive

# A handler that has no room for more than 600 bytes of a batch.
_NARROW = """
from service.torchserve_handler import TorchServeHandler as Handler

class NarrowHandler(Handler):
    def handle(self, data, context):
        if any(len(given["body"]) > 600 for given in data):
            raise MemoryError
        return super().handle(data, context)
"""


@pytest.fixture(scope="session")
def torchserve_store(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny models, `troubled`, and `narrow`, whose archive has a handler without room."""
    root = shutil.copytree(tiny_store_root, tmp_path_factory.mktemp("torchserve") / "store")
    add_troubled(root, slow_rounds=6000)
    shutil.copytree(root / "tiny-direct", root / "narrow")
    return root


@pytest.fixture(scope="session")
def server(torchserve_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    """A TorchServe with all of these models but `tiny-direct` version 2, and its model API open to its token."""
    archives = tmp_path_factory.mktemp("archives")
    running = TorchServe(archives, enable_model_api="true", load_models="", job_queue_size=str(QUEUE))
    try:
        running.start()
        for model, version in [("tiny-image", 1), ("tiny-image", 2), ("tiny-direct", 1), ("tiny-events", 1)]:
            running.register(write_archive(torchserve_store, model, version, archives, responseTimeout=5))
        running.register(write_archive(torchserve_store, "troubled", 1, archives, maxBatchDelay=300))
        narrow = write_archive(torchserve_store, "narrow", 1, archives)
        rewritten(narrow, lambda name, data: _NARROW.encode() if name.endswith(".py") else data)
        running.register(narrow)
        yield running
    finally:
        running.remove()
