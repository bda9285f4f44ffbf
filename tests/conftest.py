import shutil
from pathlib import Path

import pytest
import torch

from tests.tiny import fill_store

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_store_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with tiny trained checkpoints; read-only, see `store_root`."""
    root = tmp_path_factory.mktemp("tiny") / "model_store"
    fill_store(root, tmp_path_factory.mktemp("runs"))
    return root


@pytest.fixture
def store_root(tiny_store_root: Path, tmp_path: Path) -> Path:
    """A copy of the tiny store that a test may change."""
    return shutil.copytree(tiny_store_root, tmp_path / "model_store")


@pytest.fixture
def archive(tiny_store_root: Path, tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint's file that a test may damage."""
    return Path(shutil.copy(tiny_store_root / "tiny-image" / "1" / "model.pt", tmp_path / "model.pt"))
