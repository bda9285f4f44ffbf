"""The layout of an uploaded data set: a zip archive with a folder for each class, or an `.npz` with `x` and `y`.

In a zip archive a member's folder is its label, and the member is an image or an event recording; one folder around
all of them is allowed (`digits/3/a.png`). An `.npz` holds images: `x` uint8 `[N, H, W]` or `[N, C, H, W]`, and `y`
`[N]`, class ids or labels.

The service inspects an upload, and training loads it, with the readers of the predict route: the same file gives the
same input in training and in serving.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self

import numpy as np
from numpy.typing import NDArray

from contract.datasets.npz_images import Arrays, X
from contract.datasets.zip_archive import Archive, shown
from contract.errors import ArchiveTooLarge, InvalidDataset, ServiceError, TooLarge
from contract.settings import Settings

MAX_MEMBER_BYTES = 64 * 1024 * 1024
MAX_SAMPLES = 2_000_000

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]

_NAMED = 5  # labels in an error message


@dataclass(frozen=True)
class Limits:
    """Limits of a data set; `max_image_pixels` and `max_events` apply to each sample."""

    max_unpacked_bytes: int
    max_samples: int
    max_image_pixels: int
    max_events: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits derived from the settings."""
        return cls(
            max_unpacked_bytes=4 * settings.max_upload_bytes,
            max_samples=MAX_SAMPLES,
            max_image_pixels=settings.max_image_pixels,
            max_events=settings.max_events,
        )


def arrays_of(archive: Archive, filename: str, limits: Limits) -> Arrays | None:
    """The arrays of an `.npz`, recognised by its content or its name; None for a zip archive of folders."""
    if X not in archive.names and not filename.lower().endswith(".npz"):
        return None
    return Arrays(archive, max_samples=limits.max_samples, max_pixels=limits.max_image_pixels)


def labels_of_members(archive: Archive) -> dict[str, str]:
    """The label of each member; `InvalidDataset` for a member outside a class folder."""
    paths = [PurePosixPath(name) for name in archive.names]
    tops = {path.parts[0] for path in paths}
    depth = 3 if len(tops) == 1 and any(len(path.parts) > 2 for path in paths) else 2
    for name, path in zip(archive.names, paths, strict=True):
        if len(path.parts) != depth:
            raise InvalidDataset(
                f"{shown(name)} is not in a class folder: members are <label>/<file>, with at most one folder around "
                "all of them"
            )
    return {name: path.parts[-2] for name, path in zip(archive.names, paths, strict=True)}


def class_ids_of(given: Iterable[str], labels: Sequence[str], *, are_ids: bool) -> dict[str, int]:
    """The class id of each label, or with `are_ids` of each id in decimals.

    Raises `InvalidDataset` if `given` has labels or ids that the model's `labels` do not.
    """
    known = {str(index) if are_ids else label: index for index, label in enumerate(labels)}
    unknown = [label for label in given if label not in known]
    if unknown:
        some = ", ".join(map(shown, unknown[:_NAMED])) + (", ..." if len(unknown) > _NAMED else "")
        raise InvalidDataset(
            f"the data set has class ids that the model does not have: {some}; its ids are 0 to {len(labels) - 1}"
            if are_ids
            else f"the data set has classes that the model does not have: {some}; name all classes in the "
            "hyperparameter 'labels' for a new output layer"
        )
    return known


@contextmanager
def prefix_errors(name: str) -> Iterator[None]:
    """Put the member's name before the message of any error, as `InvalidDataset` or `ArchiveTooLarge`."""
    try:
        yield
    except TooLarge as error:
        raise ArchiveTooLarge(f"{shown(name)}: {error.message}") from error
    except ServiceError as error:
        raise InvalidDataset(f"{shown(name)}: {error.message}") from error
