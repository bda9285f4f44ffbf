"""Uploaded data sets: a zip archive with a folder a class, or an `.npz` with `x` and `y`.

The service checks an upload with this module and training reads it with this module, by the readers of the predict
route: the same file gives the same input in training and in serving.

In a zip archive a member's folder is its label, and the member is an image or an event recording; one folder around
all of them is allowed (`digits/3/a.png`). An `.npz` holds images: `x` uint8 `[N, H, W]` or `[N, C, H, W]`, and `y`
`[N]`, class ids or labels.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt

from contract.card import Card, InputSpec
from contract.datasets.npz_images import Arrays, X
from contract.datasets.zip_archive import Archive, open_archive, shown
from contract.errors import ArchiveTooLarge, InvalidDataset, InvalidEvents, InvalidImage, ServiceError, TooLarge
from contract.events import check_events, read_events
from contract.events.read import NAMES_WITHOUT_HEADER, format_of
from contract.images import fit_pixels, looks_like_image, read_image
from contract.settings import Settings

__all__ = ["Limits", "Summary", "check_fits", "inspect", "load_images", "load_recordings", "read_image"]

MAX_MEMBER_BYTES = 64 * 1024 * 1024
MAX_ALL_EVENTS = 250_000_000  # 32 bytes each while they are trained on
MAX_LABEL = 100
MIN_OF_A_CLASS = 2
MAX_SAMPLES = 2_000_000

Kind = Literal["image", "events"]
Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]

_PROBE = InputSpec(kind="image", channels=1, height=1, width=1)
_NAMED = 5  # of what is wrong with many
_IN_WORDS: dict[Kind, str] = {"image": "images", "events": "event recordings"}


@dataclass(frozen=True)
class Limits:
    """What a data set may be; `max_image_pixels` and `max_events` hold for each sample."""

    max_unpacked_bytes: int
    max_samples: int
    max_image_pixels: int
    max_events: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that follow from the service's settings."""
        return cls(
            max_unpacked_bytes=4 * settings.max_upload_bytes,
            max_samples=MAX_SAMPLES,
            max_image_pixels=settings.max_image_pixels,
            max_events=settings.max_events,
        )


class Summary(BaseModel):
    """What a data set holds: `classes` has the count of each label.

    With `class_ids` the labels are the class ids of an `.npz`, in decimals. `extent` is the width and height that the
    events take up, None for images; `channels` those of the images of an `.npz`, else None.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    samples: PositiveInt
    classes: dict[str, PositiveInt]
    class_ids: bool = False
    extent: tuple[int, int] | None = None
    channels: int | None = None


def inspect(path: Path, filename: str, limits: Limits) -> Summary:
    """Read and decode everything in the data set at `path`, one member at a time, and say what it holds.

    `filename` is the name that it was uploaded by. Raises `InvalidDataset` or `ArchiveTooLarge`, naming the member that
    is wrong.
    """
    with open_archive(path, limits.max_unpacked_bytes) as archive:
        arrays = _arrays(archive, filename, limits)
        if arrays is None:
            return _summary_of_members(archive, limits)
        classes = _counted(arrays.labels)
        arrays.check()
        return Summary(
            kind="image",
            samples=len(arrays.labels),
            classes=classes,
            class_ids=arrays.class_ids,
            channels=arrays.channels,
        )


def check_fits(
    summary: Summary, card: Card, labels: Sequence[str] | None = None, *, param: str = "training_file"
) -> None:
    """`InvalidDataset` where the model of `card` cannot be fine-tuned with the data set.

    `labels` are those of a new output layer, by default the model's own; a data set need not have all of them.
    """
    try:
        _check_input(summary, card.input)
        _class_ids(summary.classes, card.labels if labels is None else labels, are_ids=summary.class_ids)
    except InvalidDataset as error:
        error.param = param
        raise


def load_images(
    path: Path, filename: str, spec: InputSpec, labels: Sequence[str], limits: Limits
) -> tuple[Pixels, Integers]:
    """The images of a data set as a model takes them, uint8 `[N, C, H, W]`, and their class ids int64 `[N]`.

    The members of a zip archive come in the order of their names. Raises as `inspect` and `check_fits` do.
    """
    with open_archive(path, limits.max_unpacked_bytes) as archive:
        arrays = _arrays(archive, filename, limits)
        members = _members(archive) if arrays is None else {}
        given = list(members.values()) if arrays is None else arrays.labels
        known = _class_ids(dict.fromkeys(given), labels, are_ids=arrays is not None and arrays.class_ids)
        pixels = np.empty((len(given), *spec.shape), np.uint8)
        if arrays is None:
            for index, name in enumerate(members):
                data = archive.read(name, MAX_MEMBER_BYTES)
                with _naming(name):
                    pixels[index] = read_image(data, spec, max_pixels=limits.max_image_pixels).pixels
        else:
            for index, image in enumerate(arrays.images()):
                with _naming(X):
                    pixels[index] = fit_pixels(image, spec, max_pixels=limits.max_image_pixels).pixels
    return pixels, np.array([known[label] for label in given], np.int64)


def load_recordings(
    path: Path, filename: str, spec: InputSpec, labels: Sequence[str], limits: Limits
) -> tuple[Integers, Integers, Integers]:
    """The recordings of a data set as a model takes them, one after another.

    Returns events int64 `[M, 4]` (t in µs, x, y, p), offsets int64 `[N + 1]` and class ids int64 `[N]`: recording i is
    `events[offsets[i]:offsets[i + 1]]`, in the order of the members' names. Raises as `inspect` and `check_fits` do.
    """
    with open_archive(path, limits.max_unpacked_bytes) as archive:
        if _arrays(archive, filename, limits) is not None:
            raise InvalidDataset("the data set holds images, and event recordings are wanted")
        members = _members(archive)
        known = _class_ids(dict.fromkeys(members.values()), labels, are_ids=False)
        recordings = []
        for name in members:
            data = archive.read(name, MAX_MEMBER_BYTES)
            with _naming(name):
                found = read_events(data, filename=name, max_events=limits.max_events)
                recordings.append(check_events(found, spec.width, spec.height, spec.channels))
    offsets = np.cumsum([0, *map(len, recordings)], dtype=np.int64)
    events = np.empty((offsets[-1], 4), np.int64)
    for index, start in enumerate(offsets[:-1]):
        events[start : offsets[index + 1]] = recordings[index]
        recordings[index] = recordings[index][:0].copy()  # so that not all of them are in memory twice
    return events, offsets, np.array([known[label] for label in members.values()], np.int64)


def _arrays(archive: Archive, filename: str, limits: Limits) -> Arrays | None:
    """The arrays of an `.npz`, by its content or its name; None for a zip archive of folders."""
    if X not in archive.names and not filename.lower().endswith(".npz"):
        return None
    return Arrays(archive, max_samples=limits.max_samples, max_pixels=limits.max_image_pixels)


def _members(archive: Archive) -> dict[str, str]:
    """The label of each member."""
    paths = [PurePosixPath(name) for name in archive.names]
    tops = {path.parts[0] for path in paths}
    depth = 3 if len(tops) == 1 and any(len(path.parts) > 2 for path in paths) else 2
    for name, path in zip(archive.names, paths, strict=True):
        if len(path.parts) != depth:
            raise InvalidDataset(
                f"{shown(name)} does not lie in a class folder: members are <label>/<file>, with at most one folder "
                "around all of them"
            )
    return {name: path.parts[-2] for name, path in zip(archive.names, paths, strict=True)}


def _summary_of_members(archive: Archive, limits: Limits) -> Summary:
    members = _members(archive)
    classes = _counted(members.values())
    if len(members) > limits.max_samples:
        raise ArchiveTooLarge(f"the archive has {len(members)} samples, more than the {limits.max_samples} taken")
    kinds: dict[Kind, str] = {}
    width, height, events = 0, 0, 0
    for name in members:
        data = archive.read(name, MAX_MEMBER_BYTES)
        with _naming(name):
            found = _decoded(data, name, limits)
        kinds.setdefault("image" if found is None else "events", name)
        if len(kinds) > 1:
            raise InvalidDataset(f"{shown(kinds['image'])} is an image and {shown(kinds['events'])} a recording")
        if found is not None:
            events += len(found)
            width, height = max(width, int(found[:, 1].max()) + 1), max(height, int(found[:, 2].max()) + 1)
        if events > MAX_ALL_EVENTS:
            raise ArchiveTooLarge(f"at {shown(name)} the recordings have more than {MAX_ALL_EVENTS} events together")
    extent = (width, height) if events else None
    return Summary(kind="events" if events else "image", samples=len(members), classes=classes, extent=extent)


def _decoded(data: bytes, name: str, limits: Limits) -> Integers | None:
    """The events of a recording, None for an image. Where a file could be either, it is what can be read."""
    if not data:
        raise InvalidDataset("the file is empty")
    by_name = PurePosixPath(name).suffix.lower() in NAMES_WITHOUT_HEADER
    if by_name or (not looks_like_image(data) and format_of(data) is not None):
        try:
            return read_events(data, filename=name, max_events=limits.max_events)
        except InvalidEvents:
            if not looks_like_image(data):
                raise
    try:
        read_image(data, _PROBE, max_pixels=limits.max_image_pixels)
    except InvalidImage as error:
        if looks_like_image(data):
            raise
        raise InvalidDataset("neither an image nor an event recording of a format that is read here") from error
    return None


def _counted(labels: Iterable[str]) -> dict[str, int]:
    """How often each label is there, checked to be enough to train and to validate on."""
    classes = dict(sorted(Counter(labels).items()))
    for label, count in classes.items():
        if not label.isprintable() or not 0 < len(label) <= MAX_LABEL:
            raise InvalidDataset(f"{shown(label)} is no label: labels are 1 to {MAX_LABEL} printable characters")
        if count < MIN_OF_A_CLASS:
            raise InvalidDataset(
                f"class {shown(label)} has one sample only; at least {MIN_OF_A_CLASS} are needed, so that a part can "
                "be put aside for validation"
            )
    if len(classes) < 2:
        raise InvalidDataset(
            f"the data set has one class only, {shown(next(iter(classes)))}" if classes else "the data set is empty"
        )
    return classes


def _check_input(summary: Summary, spec: InputSpec) -> None:
    if summary.kind != spec.kind:
        raise InvalidDataset(
            f"the data set holds {_IN_WORDS[summary.kind]}, and the model takes {_IN_WORDS[spec.kind]}"
        )
    if summary.extent is not None and (summary.extent[0] > spec.width or summary.extent[1] > spec.height):
        raise InvalidDataset(
            f"the recordings take up {summary.extent[0]} x {summary.extent[1]} pixels, more than the model's sensor, "
            f"{spec.width} x {spec.height}"
        )
    if (
        summary.kind == "image"
        and summary.channels != spec.channels
        and not {summary.channels or 3, spec.channels} <= {1, 3}
    ):
        given = (
            "image files have 1 or 3"
            if summary.channels is None
            else f"those of x ([N, C, H, W]) have {summary.channels}"
        )
        raise InvalidDataset(f"the model takes images of {spec.channels} channels, and {given}")


def _class_ids(given: Iterable[str], labels: Sequence[str], *, are_ids: bool) -> dict[str, int]:
    """The class id of each of the model's `labels`, or of its ids; `InvalidDataset` for a `given` one it lacks."""
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
def _naming(name: str) -> Iterator[None]:
    """Say of what goes wrong with a member which one it was."""
    try:
        yield
    except TooLarge as error:
        raise ArchiveTooLarge(f"{shown(name)}: {error.message}") from error
    except ServiceError as error:
        raise InvalidDataset(f"{shown(name)}: {error.message}") from error
