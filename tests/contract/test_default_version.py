"""Service and training agree on the default version of any store, whatever is wrong with its versions."""

import asyncio
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.card import CARD_FILE, read_card
from contract.store import Store
from contract.store_history import Pointer, StoreHistory
from service.engine.device import CPU
from service.models.registry import Registry
from tests.tiny import rewritten
from training.fine_tuning.promotion import default_in_force

NEVER = 3600.0


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def missing(path: Path) -> None:
    path.unlink()


def damaged(path: Path) -> None:
    """One bit of a weight, which torch loads all the same."""
    with zipfile.ZipFile(path) as archive:
        member = next(member for member in archive.infolist() if member.filename.endswith("data/0"))
        place = member.header_offset + 30 + len(member.filename) + member.file_size
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def without_card(path: Path) -> None:
    rewritten(path, lambda name, data: None if name.endswith(CARD_FILE) else data)


def without_network(path: Path) -> None:
    """A good card and nothing else that torch could load."""
    rewritten(path, lambda name, data: data if name.endswith(CARD_FILE) else None)


def without_step(path: Path) -> None:
    """A network that runs, but lacks a method of the contract."""
    rewritten(path, lambda name, data: data.replace(b"def step(", b"def pets(") if "/export" in name else data)


def failing(path: Path) -> None:
    """A network that loads and raises when it is run."""
    rewritten(path, lambda _, data: data.replace(b"return (network).forward(x, )", b"return (network).forward(x[0], )"))


def of_another_card(field: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """A network that runs, and not as its card says."""

    def change_card(name: str, data: bytes) -> bytes:
        if not name.endswith(CARD_FILE):
            return data
        card = json.loads(data)
        return json.dumps(card | {field: change(card[field])}).encode()

    return lambda path: rewritten(path, change_card)


FAULTS: dict[str, Callable[[Path], None]] = {
    "good": lambda path: None,
    "good for other hands": lambda path: rewritten(path, lambda _, data: data),
    "truncated": truncated,
    "missing": missing,
    "damaged": damaged,
    "without card": without_card,
    "without network": without_network,
    "without step": without_step,
    "failing": failing,
    "more labels": of_another_card("labels", lambda labels: [*labels, "another"]),
    "more time steps": of_another_card("encoder", lambda encoder: encoder | {"timesteps": encoder["timesteps"] + 1}),
}
WORKS = {"good", "good for other hands"}


@pytest.fixture(scope="module")
def files(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes | None]:
    """A checkpoint with each of the faults; None for a missing file."""
    folder = tmp_path_factory.mktemp("faults")
    whole = (tiny_store_root / "tiny-image" / "1" / "model.pt").read_bytes()
    made: dict[str, bytes | None] = {}
    for fault, make in FAULTS.items():
        path = folder / f"{fault}.pt"
        path.write_bytes(whole)
        make(path)
        made[fault] = path.read_bytes() if path.exists() else None
        assert made[fault] != whole or fault == "good", fault
    return made


def build(root: Path, versions: dict[int, bytes | None], pointer: int | None) -> Store:
    for version, data in versions.items():
        folder = root / "tiny" / str(version)
        folder.mkdir(parents=True)
        if data is not None:
            (folder / "model.pt").write_bytes(data)
    if pointer is not None:
        StoreHistory(root / "tiny").set_pointer(Pointer(version=pointer))
    return Store(root)


def default_of_service(store: Store) -> int | None:
    """The default that answers requests once every version that could be the default has been tried."""

    async def run() -> int | None:
        registry = Registry(store, device=CPU, preload=["*"], poll_seconds=NEVER)
        await registry.start()
        try:
            async with asyncio.timeout(60):
                while not registry.ready:
                    await asyncio.sleep(0.01)
            return registry.default("tiny")
        finally:
            await registry.stop()

    return asyncio.run(run())


def test_a_good_card_does_not_make_a_broken_network_the_default(files: dict[str, bytes | None], tmp_path: Path) -> None:
    store = build(tmp_path, {1: files["without network"], 2: files["good"]}, None)
    assert read_card(store.checkpoint_path("tiny", 1)).name == "tiny-image"
    assert default_of_service(store) == default_in_force(store, "tiny") == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_both_sides_call_the_same_versions_broken(files: dict[str, bytes | None], tmp_path: Path, fault: str) -> None:
    store = build(tmp_path, {1: files[fault]}, None)
    expected = 1 if fault in WORKS else None
    assert default_of_service(store) == default_in_force(store, "tiny") == expected


@given(
    versions=st.dictionaries(st.integers(1, 9), st.sampled_from(sorted(FAULTS)), min_size=1, max_size=4),
    pointer=st.none() | st.integers(1, 9),
)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_both_sides_choose_the_same_default_in_any_store(
    files: dict[str, bytes | None],
    tmp_path_factory: pytest.TempPathFactory,
    versions: dict[int, str],
    pointer: int | None,
) -> None:
    root = tmp_path_factory.mktemp("any")
    store = build(root, {version: files[fault] for version, fault in versions.items()}, pointer)
    expected = min((version for version, fault in versions.items() if fault in WORKS), default=None)
    if pointer in versions:
        expected = pointer
    assert default_of_service(store) == default_in_force(store, "tiny") == expected
