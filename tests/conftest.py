import shutil
from pathlib import Path

import pytest
import torch

from contract.cores import available_cores
from tests.tiny import fill_store

TESTS = Path(__file__).parent
# Tests that start processes or train for long run after all others, in this order: the longest files are not left for
# the end, where one process would work and the other wait.
SLOW = tuple(
    TESTS / path
    for path in (
        "e2e",
        "training/fine_tuning",
        "hostile",
        "training/learning",
        "service/routes/test_fine_tuning.py",
        "test_docs.py",
        "service/http/test_server.py",
        "service/test_main.py",
        "service/uploads",
        "service/fine_tuning/test_queue.py",
        "service/routes/test_files.py",
        "benchmarks",
        "contract/test_store_machine.py",
    )
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums of floats depend on the number of threads: every test starts with one, whatever ran before it."""
    torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """The number of processes of `-n auto`: two where there are two cores."""
    return 2 if available_cores() >= 2 else 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put quick tests first; tests of one file stay together and in their order."""
    if missing := [path for path in SLOW if not path.exists()]:
        raise pytest.UsageError(f"tests/conftest.py names files that are not there: {', '.join(map(str, missing))}")
    items.sort(
        key=lambda item: next((place for place, path in enumerate(SLOW, 1) if item.path.is_relative_to(path)), 0)
    )


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
