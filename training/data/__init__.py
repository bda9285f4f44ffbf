"""Data sets to train on, by name, in memory as tensors."""

from pathlib import Path

from training.data.cifar10 import load_cifar10
from training.data.dataset import Dataset, Images, Recordings, Samples, split_train, stratified
from training.data.digits import load_digits
from training.data.folder import load_folder
from training.data.idx import FASHION_MNIST, MNIST, load_idx_dataset
from training.data.nmnist import load_nmnist
from training.errors import DataError

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "Images",
    "Recordings",
    "Samples",
    "load_dataset",
    "split_train",
    "stratified",
]

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10", "nmnist", "folder")


def load_dataset(
    name: str,
    data_dir: Path | None = None,
    *,
    image_shape: tuple[int, int, int] | None = None,
    download: bool = True,
) -> Dataset:
    """Load the data set called `name`, one of `DATASETS`.

    `data_dir` is where files are looked for; "digits" needs none, and MNIST and Fashion-MNIST are fetched into it (or
    into the user's cache) where they are absent and `download` is allowed. "folder" reads class folders of images in
    `data_dir` and needs `image_shape` (C, H, W), which the others have of their own. Raises `DataError`.
    """
    match name:
        case "digits":
            return load_digits()
        case "mnist":
            return load_idx_dataset(MNIST, data_dir, download=download)
        case "fashion-mnist":
            return load_idx_dataset(FASHION_MNIST, data_dir, download=download)
        case "cifar10":
            return load_cifar10(data_dir)
        case "nmnist":
            return load_nmnist(data_dir)
        case "folder":
            if data_dir is None or image_shape is None:
                raise DataError("the data set 'folder' needs a data folder and the shape of its images")
            return load_folder(data_dir, image_shape)
    raise DataError(f"there is no data set {name!r}; known are {', '.join(DATASETS)}")
