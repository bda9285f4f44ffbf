from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import DataError, Images, load_dataset
from training.data.cifar10 import BINARY_TEST, BINARY_TRAIN, PICTURE_TEST, PICTURE_TRAIN

REAL_DATA = Path(__file__).parents[4] / "shared" / "data" / "cifar10"


def record(label: int, red: int, green: int, blue: int, corner: int) -> bytes:
    """An image of one colour with a value of its own at the end of its first row of red, byte for byte."""
    return bytes([label, *[red] * 31, corner, *[red] * 992, *[green] * 1024, *[blue] * 1024])


def binary_version(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(BINARY_TRAIN):
        (folder / name).write_bytes(record(number, 10 + number, 20, 30, 99) + record(9, 1, 2, 3, 4))
    (folder / BINARY_TEST).write_bytes(record(7, 200, 201, 202, 203))
    return folder


def pictures(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate((*PICTURE_TRAIN, PICTURE_TEST)):
        rows = np.zeros((2, 1024, 3), np.uint8)
        rows[1, 31] = (1, 2, 3 + number)
        Image.fromarray(rows).save(folder / name)
        (folder / name).with_suffix(".labels.txt").write_text(f"{number}\n9\n")
    return folder


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "CIFAR10/cifar-10-batches-bin", "."])
def test_the_published_binary_version_is_read(tmp_path: Path, folder: str) -> None:
    binary_version(tmp_path / folder)
    data = load_dataset("cifar10", tmp_path)
    assert isinstance(data.train, Images)
    assert isinstance(data.test, Images)
    assert data.labels[0] == "airplane"
    assert data.labels[9] == "truck"
    assert data.train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert data.test.labels.tolist() == [7]
    assert data.test.pixels[0, :, 0, 30].tolist() == [200, 201, 202]
    assert data.test.pixels[0, :, 0, 31].tolist() == [203, 201, 202]
    assert data.test.pixels[0, :, 31, 31].tolist() == [200, 201, 202]


def test_pictures_of_a_row_per_image_are_read(tmp_path: Path) -> None:
    pictures(tmp_path / "cifar10")
    data = load_dataset("cifar10", tmp_path)
    assert isinstance(data.train, Images)
    assert isinstance(data.test, Images)
    assert data.train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9]
    assert data.test.labels.tolist() == [4, 9]
    assert data.test.pixels[1, :, 0, 31].tolist() == [1, 2, 7]
    assert int(data.test.pixels.sum()) == 10


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("test_batch.bin", record(1, 1, 1, 1, 1)[:-1], r"test_batch\.bin: .* 3072 bytes end inside image 0"),
        ("data_batch_3.bin", b"", r"data_batch_3\.bin: .* 0 bytes end inside image 0"),
        (
            "data_batch_2.bin",
            record(1, 1, 1, 1, 1) + record(10, 1, 1, 1, 1),
            r"image 1 has class 10; classes are 0 to 9",
        ),
        ("data_batch_5.bin", None, r"data_batch_5\.bin of CIFAR-10 is missing"),
    ],
)
def test_wrong_files_of_the_binary_version_are_named(
    tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    binary_version(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        load_dataset("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("cifar10_batch_2.png", b"no picture", r"cifar10_batch_2\.png: not an image"),
        ("cifar10_batch_1.labels.txt", b"1\n", r"1 classes, but cifar10_batch_1\.png has 2 images"),
        ("cifar10_batch_1.labels.txt", b"1\nx\n", r"batch_1\.labels\.txt: cannot be read: .*'x'"),
        ("cifar10_batch_1.labels.txt", b"1\n-1\n", r"batch_1\.labels\.txt: image 1 has class -1"),
        ("cifar10_batch_4.png", None, r"cifar10_batch_4\.png of CIFAR-10 is missing"),
    ],
)
def test_wrong_pictures_are_named(tmp_path: Path, name: str, content: bytes | None, complaint: str) -> None:
    pictures(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        load_dataset("cifar10", tmp_path)


def test_a_cut_picture_and_one_of_another_width_are_named(tmp_path: Path) -> None:
    picture = pictures(tmp_path) / PICTURE_TEST
    picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cifar10_batch_4\.png: not an image, or truncated"):
        load_dataset("cifar10", tmp_path)
    Image.new("RGB", (32, 32)).save(picture)
    with pytest.raises(DataError, match="a row has 32 pixels; an image has 1024"):
        load_dataset("cifar10", tmp_path)


@pytest.mark.parametrize("given", [True, False])
def test_absent_data_is_told_with_where_to_get_it(tmp_path: Path, given: bool) -> None:
    with pytest.raises(DataError, match=r"looked for data_batch_1\.bin.*cs\.toronto\.edu") as caught:
        load_dataset("cifar10", tmp_path if given else None)
    assert (str(tmp_path / "cifar10") in str(caught.value)) == given


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real data set is not here")
def test_the_real_part_has_its_classes_in_equal_shares() -> None:
    data = load_dataset("cifar10", REAL_DATA)
    assert (len(data.train), len(data.test)) == (4000, 1000)
    assert 366 == int(data.train.labels.bincount().min()) < int(data.train.labels.bincount().max()) == 422
