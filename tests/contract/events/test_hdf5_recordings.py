"""HDF5 recordings, where h5py is installed."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import read_events
from contract.events.hdf5 import AVAILABLE, MAGIC

ROWS = [(3, 1, 2, 1), (3, 7, 0, 0), (9, 5, 5, 1)]
EXPECTED = [list(row) for row in ROWS]


@pytest.fixture
def h5py() -> Any:
    return pytest.importorskip("h5py")


def saved(h5py: Any, fill: Any) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file)
    return stream.getvalue()


def table() -> Any:
    return np.array(ROWS, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<i2")])


@pytest.mark.skipif(AVAILABLE, reason="h5py is installed")
def test_without_h5py_the_refusal_names_the_extra() -> None:
    with pytest.raises(InvalidEvents, match=r"stl-snn\[hdf5\]"):
        read_events(MAGIC + bytes(100), max_events=10)


@pytest.mark.parametrize("options", [{}, {"chunks": (2,), "compression": "gzip"}])
def test_metavisions_table_is_read(h5py: Any, options: dict[str, Any]) -> None:
    data = saved(h5py, lambda file: file.create_dataset("CD/events", data=table(), **options))
    assert read_events(data, max_events=3).tolist() == EXPECTED
    with pytest.raises(TooManyEvents):
        read_events(data, max_events=2)


def test_dsecs_arrays_are_read_with_their_offset(h5py: Any) -> None:
    def fill(file: Any) -> None:
        for index, name in enumerate("txyp"):
            file[f"events/{name}"] = np.array([row[index] for row in ROWS], np.uint32 if name == "t" else np.uint16)
        file["t_offset"] = np.int64(2**40)

    assert read_events(saved(h5py, fill), max_events=3)[:, 0].tolist() == [2**40 + 3, 2**40 + 3, 2**40 + 9]


def test_no_other_file_is_opened(h5py: Any, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file.create_dataset("CD/events", data=table())

    def link(file: Any) -> None:
        file["CD"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/CD")

    with pytest.raises(InvalidEvents, match="link to somewhere else"):
        read_events(saved(h5py, link), max_events=3)
    (tmp_path / "raw").write_bytes(table().tobytes())

    def outside(file: Any) -> None:
        file.create_group("CD").create_dataset(
            "events", (3,), table().dtype, external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        )

    with pytest.raises(InvalidEvents, match="another file"):
        read_events(saved(h5py, outside), max_events=3)


def test_a_broken_or_foreign_file_is_refused(h5py: Any) -> None:
    data = saved(h5py, lambda file: file.create_dataset("CD/events", data=table()))
    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        with suppress(InvalidEvents, TooManyEvents):
            assert read_events(bytes(damaged), max_events=3).shape[1] == 4
    with pytest.raises(InvalidEvents, match="CD/events"):
        read_events(saved(h5py, lambda file: file.create_group("other")), max_events=3)
    with pytest.raises(InvalidEvents, match="must be integers"):
        read_events(
            saved(
                h5py, lambda file: file.create_dataset("CD/events", data=table().astype([(n, "f4") for n in "txyp"]))
            ),
            max_events=3,
        )
