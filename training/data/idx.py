"""MNIST and Fashion-MNIST from IDX files, which are fetched once where they are not there yet.

An IDX file is a big-endian header (two zero bytes, a type byte, the number of dimensions, then a u32 per dimension)
followed by the values; see http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import math
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray

from contract.card import InputSpec
from training.data.dataset import Dataset, Images
from training.errors import DataError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class Source:
    """Where a data set in IDX files is found: folders below the data folder, then a web address with md5 checksums.

    `md5` has the checksum of each of `FILES`, gzipped as published, in that order.
    """

    name: str
    labels: tuple[str, ...]
    attribution: str
    folders: tuple[str, ...]
    url: str
    md5: tuple[str, str, str, str]


MNIST = Source(
    name="mnist",
    labels=tuple("0123456789"),
    attribution="MNIST: Yann LeCun, Corinna Cortes, Christopher J. C. Burges",
    folders=("mnist", "MNIST", "MNIST/raw"),
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    md5=(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)
FASHION_MNIST = Source(
    name="fashion-mnist",
    labels=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    attribution="Fashion-MNIST: Han Xiao, Kashif Rasul, Roland Vollgraf (Zalando SE), 2017, MIT licence",
    folders=("fashion-mnist", "fashion", "FashionMNIST", "FashionMNIST/raw"),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    md5=(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)


def load_idx_dataset(source: Source, data_dir: Path | None, *, download: bool = True) -> Dataset:
    """Load `source` from the first of its folders below `data_dir`, or `data_dir` itself, that holds all its files.

    Files may be gzipped or plain. A file may also come in numbered pieces (`train1-images-...`, `train2-images-...`),
    which are joined in order. Where no folder is complete, the published files are fetched into the first one (the
    user's cache without a `data_dir`); files that are there are never replaced. Raises `DataError`.
    """
    root = pooch.os_cache("stl-snn") if data_dir is None else data_dir
    folders = [root / name for name in source.folders] + [root]
    complete = next((folder for folder in folders if not _missing(folder)), None)
    if complete is None:
        complete = folders[0]
        if not download:
            raise DataError(f"{source.name}: {_where_to_get(source, folders)}")
        try:
            _fetch(source, complete)
        except (OSError, ValueError) as error:
            raise DataError(f"{source.name}: {_where_to_get(source, folders)}. Fetching it failed: {error}") from error
    train_images, train_labels, test_images, test_labels = (_read_pieces(_pieces(complete, file)) for file in FILES)
    train, test = _images(train_images, train_labels), _images(test_images, test_labels)
    _, channels, height, width = train.pixels.shape
    spec = InputSpec(kind="image", channels=channels, height=height, width=width)
    return Dataset(source.name, source.labels, spec, train, test, source.attribution)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped or plain. Raises `DataError` where header and size disagree."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE or data[3] == 0:
        raise DataError(f"{path}: not an IDX file of unsigned bytes, it begins with 0x{data[:4].hex()}")
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise DataError(f"{path}: the file ends inside its IDX header")
    shape = struct.unpack(f">{data[3]}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise DataError(f"{path}: the header tells of {shape} values, {len(data) - header} bytes follow")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _pieces(folder: Path, file: str) -> list[Path]:
    """Return the paths that make up `file`: itself, plain or gzipped, or else its numbered pieces in order."""
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            return [path]
    part, rest = file.split("-", 1)
    numbered: dict[int, Path] = {}
    for path in sorted(folder.glob(f"{part}*-{rest}*")):
        if match := re.fullmatch(rf"{part}(\d+)-{rest}(\.gz)?", path.name):
            numbered.setdefault(int(match[1]), path)
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        raise DataError(
            f"{folder}: the pieces of {file} are numbered {sorted(numbered)}, expected 1, 2, ... without gap"
        )
    return [numbered[number] for number in sorted(numbered)]


def _missing(folder: Path) -> list[str]:
    return [file for file in FILES if not _pieces(folder, file)]


def _read_pieces(paths: Sequence[Path]) -> NDArray[np.uint8]:
    parts = [read_idx(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        dimensions = 3 if "-images-" in path.name else 1
        if part.ndim != dimensions:
            raise DataError(f"{path}: {part.ndim} dimensions, expected {dimensions}")
        if part.shape[1:] != parts[0].shape[1:]:
            raise DataError(f"{path}: images of {part.shape[1:]}, but {parts[0].shape[1:]} in {paths[0].name}")
    return np.concatenate(parts)


def _images(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Images:
    if len(pixels) != len(labels):
        raise DataError(f"{len(pixels)} images but {len(labels)} labels")
    return Images(torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(labels).long())


def _where_to_get(source: Source, folders: Sequence[Path]) -> str:
    files = ", ".join(f"{file}[.gz]" for file in _missing(folders[0]))
    return f"looked for {files} in {', '.join(map(str, folders))}; the files are at {source.url}"


def _fetch(source: Source, folder: Path) -> None:
    """Fetch what is missing, and touch `folder` only when all of it has arrived."""
    downloader = pooch.HTTPDownloader(timeout=30)
    missing = _missing(folder)
    with tempfile.TemporaryDirectory() as arrivals:
        for file in missing:
            known_hash = f"md5:{source.md5[FILES.index(file)]}"
            url, name = f"{source.url}{file}.gz", f"{file}.gz"
            pooch.retrieve(url, known_hash, fname=name, path=arrivals, downloader=downloader)
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            shutil.move(Path(arrivals) / f"{file}.gz", folder)
