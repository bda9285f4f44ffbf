import gzip
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from training.data import DataError, Images, load_dataset
from training.data.idx import FASHION_MNIST, FILES, MNIST, Source, load_idx_dataset, read_idx

REAL_DATA = Path(__file__).parents[4] / "shared" / "data"


def idx(values: list[int], *shape: int) -> bytes:
    """Write an IDX file of unsigned bytes by hand."""
    return bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape) + bytes(values)


TRAIN_IMAGES = idx(list(range(18)), 3, 2, 3)
TRAIN_LABELS = idx([4, 0, 9], 3)
TEST_IMAGES = idx([7] * 6, 1, 2, 3)
TEST_LABELS = idx([2], 1)
CONTENTS = dict(zip(FILES, (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS), strict=True))


def write_files(folder: Path, *, zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENTS.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Source]:
    """A small data set on a web server, with the checksums of its files."""
    site = write_files(tmp_path / "site", zipped=True)
    first, second, third, fourth = (hashlib.md5((site / f"{file}.gz").read_bytes()).hexdigest() for file in FILES)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(site)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    yield replace(MNIST, url=url, md5=(first, second, third, fourth))
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "."])
def test_files_are_found_plain_or_zipped_in_the_usual_folders(tmp_path: Path, folder: str, zipped: bool) -> None:
    write_files(tmp_path / folder, zipped=zipped)

    data = load_dataset("mnist", tmp_path, download=False)

    assert isinstance(data.train, Images)
    assert data.input.shape == (1, 2, 3)
    assert data.labels == tuple("0123456789")
    assert data.train.pixels[1].tolist() == [[[6, 7, 8], [9, 10, 11]]]
    assert data.train.labels.tolist() == [4, 0, 9]
    assert data.test.labels.tolist() == [2]


def test_fashion_mnist_is_not_taken_from_the_folder_of_mnist(tmp_path: Path) -> None:
    write_files(tmp_path / "mnist")

    with pytest.raises(DataError, match="fashion-mnist: looked for train-images-idx3-ubyte"):
        load_dataset("fashion-mnist", tmp_path, download=False)


def test_numbered_pieces_are_joined_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "fashion")
    for name in FILES[:2]:
        (folder / name).unlink()
    for number in range(1, 12):
        (folder / f"train{number}-images-idx3-ubyte").write_bytes(idx([number] * 6, 1, 2, 3))
        (folder / f"train{number}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx([number % 10], 1)))

    data = load_dataset("fashion-mnist", tmp_path, download=False)

    assert isinstance(data.train, Images)
    assert data.train.pixels[:, 0, 0, 0].tolist() == list(range(1, 12))
    assert data.train.labels.tolist() == [number % 10 for number in range(1, 12)]
    assert data.labels[9] == "Ankle boot"


def test_a_gap_between_pieces_is_told(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mnist")
    (folder / FILES[0]).unlink()
    for number in (1, 3):
        (folder / f"train{number}-images-idx3-ubyte").write_bytes(TRAIN_IMAGES)

    with pytest.raises(DataError, match=r"numbered \[1, 3\]"):
        load_dataset("mnist", tmp_path, download=False)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (bytes([0, 0, 0x0D, 1]) + struct.pack(">I", 0), "not an IDX file of unsigned bytes, it begins with 0x00000d01"),
        (idx([], 3, 2, 3)[:10], "ends inside its IDX header"),
        (TRAIN_IMAGES[:-1], r"tells of \(3, 2, 3\) values, 17 bytes follow"),
        (TRAIN_IMAGES + b"\0", "19 bytes follow"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    plain, zipped = tmp_path / "some-idx", tmp_path / "some-idx.gz"
    plain.write_bytes(content)
    zipped.write_bytes(gzip.compress(content))

    for path in (plain, zipped):
        with pytest.raises(DataError, match=complaint) as caught:
            read_idx(path)
        assert path.name in str(caught.value)


@pytest.mark.parametrize("damage", [slice(None, -9), slice(3, None)])
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: slice) -> None:
    path = tmp_path / "some-idx.gz"
    path.write_bytes(gzip.compress(TRAIN_IMAGES)[damage])

    with pytest.raises(DataError, match="cannot be read"):
        read_idx(path)


def test_any_number_of_dimensions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cube"
    path.write_bytes(idx(list(range(16)), 2, 2, 2, 2))

    assert np.array_equal(read_idx(path), np.arange(16).reshape(2, 2, 2, 2))


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        (FILES[1], idx([4, 0], 2), "3 images but 2 labels"),
        (FILES[0], idx([1] * 3, 3), "1 dimensions, expected 3"),
        (FILES[2], idx([7] * 4, 1, 2, 2), r"the test images are \[1, 2, 2\], not \(1, 2, 3\)"),
        (FILES[3], idx([10], 1), "the test part has class ids 10 to 10, but 10 classes"),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    tmp_path: Path, file: str, content: bytes, complaint: str
) -> None:
    folder = write_files(tmp_path / "mnist")
    (folder / file).write_bytes(content)

    with pytest.raises(DataError, match=complaint):
        load_dataset("mnist", tmp_path, download=False)


def test_absent_files_are_fetched_once(tmp_path: Path, published: Source) -> None:
    data_dir = tmp_path / "data"

    data = load_idx_dataset(published, data_dir)
    without_network = load_idx_dataset(replace(published, url="http://127.0.0.1:9/"), data_dir)

    assert data.train.labels.tolist() == without_network.train.labels.tolist() == [4, 0, 9]
    assert {path.name for path in (data_dir / "mnist").iterdir()} == {f"{file}.gz" for file in FILES}


def test_only_missing_files_are_fetched_and_none_is_replaced(tmp_path: Path, published: Source) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    mine = idx([0, 0, 0], 3)
    (folder / FILES[1]).write_bytes(mine)

    data = load_idx_dataset(published, tmp_path / "data")

    assert data.train.labels.tolist() == [0, 0, 0]
    assert (folder / FILES[1]).read_bytes() == mine


def test_a_fetched_file_with_another_checksum_is_not_kept(tmp_path: Path, published: Source) -> None:
    wrong = replace(published, md5=("0" * 32, *published.md5[1:]))

    with pytest.raises(DataError, match=r"Fetching it failed.*hash"):
        load_idx_dataset(wrong, tmp_path / "data")

    assert list((tmp_path / "data").rglob("*ubyte*")) == []


def test_an_absent_file_is_told_with_where_to_get_it(tmp_path: Path) -> None:
    unreachable = replace(FASHION_MNIST, url="http://127.0.0.1:9/")

    with pytest.raises(DataError) as caught:
        load_idx_dataset(unreachable, tmp_path)

    for part in (FILES[0], str(tmp_path / "fashion-mnist"), "http://127.0.0.1:9/", "Fetching it failed"):
        assert part in str(caught.value)


@pytest.mark.skipif(not (REAL_DATA / "mnist").is_dir(), reason="the real data set is not here")
def test_real_mnist_is_read() -> None:
    data = load_dataset("mnist", REAL_DATA, download=False)

    assert isinstance(data.test, Images)
    assert len(data.train) == 59_000
    assert data.test.pixels.shape == (10_000, 1, 28, 28)
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert [hashlib.md5((REAL_DATA / "mnist" / f"{file}.gz").read_bytes()).hexdigest() for file in FILES[2:]] == list(
        MNIST.md5[2:]
    )


@pytest.mark.skipif(not (REAL_DATA / "fashion").is_dir(), reason="the real data set is not here")
def test_real_fashion_mnist_is_joined_from_two_pieces() -> None:
    data = load_dataset("fashion-mnist", REAL_DATA, download=False)

    assert isinstance(data.test, Images)
    assert len(data.train) == 59_000
    assert data.train.labels[:4].tolist() == [9, 0, 0, 3]
    assert data.test.labels.bincount().tolist() == [1000] * 10
    # The published checksum of the unzipped test images.
    header = struct.pack(">IIII", 0x803, 10_000, 28, 28)
    raw = header + data.test.pixels.contiguous().numpy().tobytes()
    assert hashlib.md5(raw).hexdigest() == "8181f5470baa50b63fa0f6fddb340f0a"
    assert data.test.pixels.dtype == torch.uint8


def test_a_fetch_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    source = replace(MNIST, url="http://127.0.0.1:9/")
    with pytest.raises(DataError, match="Fetching it failed"):
        load_idx_dataset(source, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
