"""The engines that run networks in this process, by name, for tests that hold for each of them."""

from pathlib import Path

import pytest

from contract.store import Store
from event_engine.library import built_libraries
from service.engine.device import CPU
from service.engine.interface import Engine
from service.engine.load import Preference, load_engine

not_built = pytest.mark.skipif(not built_libraries(), reason="the event engine was not built: no C++ compiler")
ENGINES = ["torchscript", pytest.param("event", marks=not_built)]


def load(root: Path, name: str, engine: Preference) -> Engine:
    """Version 1 of a model of the store at `root`."""
    return load_engine(Store(root).checkpoint_path(name, 1), CPU, engine)
