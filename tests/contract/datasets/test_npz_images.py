"""Arrays of images and class ids or labels."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.datasets.inspect import Summary
from contract.errors import ArchiveTooLarge
from tests.contract.datasets.archives import look, packed, refused, saved


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, ">i4"])
def test_an_npz_with_class_ids(tmp_path: Path, dtype: Any) -> None:
    x = np.zeros((4, 5, 6), np.uint8)
    summary = look(saved(tmp_path / "set.npz", x=x, y=np.array([0, 3, 3, 0], dtype)))

    assert summary == Summary(kind="image", samples=4, classes={"0": 2, "3": 2}, class_ids=True, channels=1)


def test_an_npz_with_labels(tmp_path: Path) -> None:
    x = np.zeros((4, 3, 5, 6), np.uint8)
    summary = look(saved(tmp_path / "set.npz", x=x, y=np.array(["é", "b", "b", "é"])))

    assert summary == Summary(kind="image", samples=4, classes={"b": 2, "é": 2}, channels=3)


def test_sorted_labels_that_pack_a_thousandfold_are_no_bomb(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 256, (100_000, 8, 8), np.uint8)
    path = saved(tmp_path / "set.npz", x=x, y=np.repeat([0, 1], 50_000))

    assert look(path, max_samples=100_000).samples == 100_000


X = np.zeros((4, 8, 8), np.uint8)
Y = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": X}, "y is missing"),
        ({"y": Y}, "x is missing"),
        ({"x": X.astype(np.float32), "y": Y}, "x must be uint8 [N, H, W] or [N, C, H, W]; it is float32 [4, 8, 8]"),
        ({"x": X[0], "y": Y}, "x must be uint8"),
        ({"x": X[None, None], "y": Y}, "x must be uint8"),
        ({"x": X[:, :0], "y": Y}, "x has no pixels"),
        ({"x": X[:0], "y": Y[:0]}, "x has no pixels"),
        ({"x": X, "y": Y[:3]}, "y must have one value for each of the 4 images of x; its shape is [3]"),
        ({"x": X, "y": Y[None]}, "y must have one value"),
        ({"x": X, "y": Y.astype(float)}, "y must be integers"),
        ({"x": X, "y": Y.astype(bool)}, "y must be integers"),
        ({"x": X, "y": Y.astype("S1")}, "y must be integers"),
        ({"x": X, "y": -Y}, "y[1] is -1; class ids are 0 to 9999"),
        ({"x": X, "y": Y * 10_000}, "y[1] is 10000"),
        ({"x": X, "y": Y.astype(np.uint64) * (2**64 - 1)}, "y[1] is 18446744073709551615"),
        ({"x": X, "y": np.array(["a", "", "a", ""])}, "'' is not a valid label"),
        ({"x": X, "y": np.array(["a", "\ud800", "a", "\ud800"])}, r"'\ud800' is not a valid label"),
        ({"x": X, "y": Y * 0}, "only one class, '0'"),
        ({"x": X, "y": np.array([0, 1, 0, 0])}, "class '1' has only one sample"),
    ],
)
def test_arrays_that_cannot_be_trained_on(tmp_path: Path, arrays: dict[str, NDArray[Any]], says: str) -> None:
    assert says in refused(saved(tmp_path / "set.npz", **arrays))


class Trap:
    """Unpickling it would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a member was unpickled",)


@pytest.mark.parametrize("name", ["x", "y"])
def test_nothing_is_unpickled(tmp_path: Path, name: str) -> None:
    objects = np.array([Trap()] * 4, object)
    path = saved(tmp_path / "set.npz", **{"x": X, "y": Y, name: objects})

    assert f"'{name}.npy': a .npy file of Python objects is not supported" in refused(path)


def test_arrays_of_too_much(tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz", x=X, y=Y)

    assert "x has 4 images; the limit is 3" in refused(path, ArchiveTooLarge, max_samples=3)
    assert "8 x 8 pixels" in refused(path, ArchiveTooLarge, max_image_pixels=63)


def test_a_broken_array(tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz", x=np.random.default_rng(0).integers(0, 256, (4, 80, 80), np.uint8), y=Y)
    data = bytearray(path.read_bytes())
    data[data.index(b"x.npy") + 2000] ^= 0xFF
    path.write_bytes(data)

    assert "'x.npy' is broken" in refused(path)


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)})
    path = packed(tmp_path / "set.npz", {"x.npy": stream.getvalue() + bytes(100), "y.npy": b""})

    assert "'x.npy': the header of the .npy file says [1000000, 1000, 1000]" in refused(path)
