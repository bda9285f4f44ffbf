"""Loading the images or recordings of an uploaded data set in the shape that a model takes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contract.card import InputSpec
from contract.datasets.layout import (
    MAX_MEMBER_BYTES,
    Integers,
    Limits,
    Pixels,
    arrays_of,
    class_ids_of,
    labels_of_members,
    prefix_errors,
)
from contract.datasets.npz_images import X
from contract.datasets.zip_archive import open_archive
from contract.errors import InvalidDataset
from contract.events import check_events, read_events
from contract.images import fit_pixels, read_image


def load_images(
    path: Path, filename: str, spec: InputSpec, labels: Sequence[str], limits: Limits
) -> tuple[Pixels, Integers]:
    """The images of a data set in the model's shape, uint8 `[N, C, H, W]`, and their class ids int64 `[N]`.

    The members of a zip archive are sorted by name. Raises the errors of `inspect` and `check_fits`.
    """
    with open_archive(path, limits.max_unpacked_bytes) as archive:
        arrays = arrays_of(archive, filename, limits)
        members = labels_of_members(archive) if arrays is None else {}
        given = list(members.values()) if arrays is None else arrays.labels
        known = class_ids_of(dict.fromkeys(given), labels, are_ids=arrays is not None and arrays.class_ids)
        pixels = np.empty((len(given), *spec.shape), np.uint8)
        if arrays is None:
            for index, name in enumerate(members):
                data = archive.read(name, MAX_MEMBER_BYTES)
                with prefix_errors(name):
                    pixels[index] = read_image(data, spec, max_pixels=limits.max_image_pixels).pixels
        else:
            for index, image in enumerate(arrays.images()):
                with prefix_errors(X):
                    pixels[index] = fit_pixels(image, spec, max_pixels=limits.max_image_pixels).pixels
    return pixels, np.array([known[label] for label in given], np.int64)


def load_recordings(
    path: Path, filename: str, spec: InputSpec, labels: Sequence[str], limits: Limits
) -> tuple[Integers, Integers, Integers]:
    """The recordings of a data set, one after another.

    Returns events int64 `[M, 4]` (t in µs, x, y, p), offsets int64 `[N + 1]` and class ids int64 `[N]`: recording i is
    `events[offsets[i]:offsets[i + 1]]`, sorted by the members' names. Raises the errors of `inspect` and `check_fits`.
    """
    with open_archive(path, limits.max_unpacked_bytes) as archive:
        if arrays_of(archive, filename, limits) is not None:
            raise InvalidDataset("the data set holds images, but the model takes event recordings")
        members = labels_of_members(archive)
        known = class_ids_of(dict.fromkeys(members.values()), labels, are_ids=False)
        recordings = []
        for name in members:
            data = archive.read(name, MAX_MEMBER_BYTES)
            with prefix_errors(name):
                found = read_events(data, filename=name, max_events=limits.max_events)
                recordings.append(check_events(found, spec.width, spec.height, spec.channels))
    offsets = np.cumsum([0, *map(len, recordings)], dtype=np.int64)
    events = np.empty((offsets[-1], 4), np.int64)
    for index, start in enumerate(offsets[:-1]):
        events[start : offsets[index + 1]] = recordings[index]
        recordings[index] = recordings[index][:0].copy()  # so that no recording stays in memory twice
    return events, offsets, np.array([known[label] for label in members.values()], np.int64)
