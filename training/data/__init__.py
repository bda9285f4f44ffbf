"""Data sets to train on, by name, in memory as tensors."""

from pathlib import Path

from training.data.bins import Binning, Bins
from training.data.cifar10 import load_cifar10
from training.data.cifar10_dvs import load_cifar10_dvs
from training.data.dataset import Dataset, Images, Samples, divide, split_train, stratified
from training.data.digits import load_digits
from training.data.dvs128_gesture import load_dvs128_gesture
from training.data.event_options import EVERY_EVENT, EventOptions
from training.data.folder import load_folder
from training.data.idx import FASHION_MNIST, MNIST, load_idx_dataset
from training.data.n_caltech101 import load_n_caltech101
from training.data.nmnist import load_nmnist
from training.data.recordings import Recordings
from training.data.spoken_digits import load_spoken_digits
from training.errors import DataError

__all__ = [
    "DATASETS",
    "Binning",
    "Bins",
    "DataError",
    "Dataset",
    "EventOptions",
    "Images",
    "Recordings",
    "Samples",
    "divide",
    "load_dataset",
    "split_train",
    "stratified",
]

DATASETS = (
    "digits",
    "mnist",
    "fashion-mnist",
    "cifar10",
    "nmnist",
    "cifar10-dvs",
    "dvs128-gesture",
    "n-caltech101",
    "spoken-digits",
    "folder",
)


def load_dataset(
    name: str,
    data_dir: Path | None = None,
    *,
    image_shape: tuple[int, int, int] | None = None,
    events: EventOptions = EVERY_EVENT,
    download: bool = True,
) -> Dataset:
    """Load the data set called `name`, one of `DATASETS`.

    `data_dir` is where files are looked for; "digits" needs none, and MNIST and Fashion-MNIST are fetched into it (or
    into the user's cache) where they are absent and `download` is allowed. "folder" reads class folders of images in
    `data_dir` and needs `image_shape` (C, H, W), which the others have of their own. `events` is for data sets of event
    recordings. Raises `DataError`.
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
            return load_nmnist(data_dir, events)
        case "cifar10-dvs":
            return load_cifar10_dvs(data_dir, events)
        case "dvs128-gesture":
            return load_dvs128_gesture(data_dir, events)
        case "n-caltech101":
            return load_n_caltech101(data_dir, events)
        case "spoken-digits":
            return load_spoken_digits(data_dir, events)
        case "folder":
            if data_dir is None or image_shape is None:
                raise DataError("the data set 'folder' needs a data folder and the shape of its images")
            return load_folder(data_dir, image_shape)
    raise DataError(f"there is no data set {name!r}; known are {', '.join(DATASETS)}")
