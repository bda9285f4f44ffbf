"""The contents of an uploaded data set, and whether it fits a model."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

from contract.card import MAX_LABEL_LENGTH, MAX_LABELS, Card, InputSpec
from contract.datasets.layout import (
    MAX_MEMBER_BYTES,
    Integers,
    Limits,
    arrays_of,
    class_ids_of,
    labels_of_members,
    prefix_errors,
)
from contract.datasets.zip_archive import Archive, open_archive, shown
from contract.errors import ArchiveTooLarge, InvalidDataset, InvalidEvents, InvalidImage
from contract.events import read_events
from contract.events.read import NAMES_WITHOUT_HEADER, format_of
from contract.image_formats import looks_like_image
from contract.images import announced_size, check_size, read_image

MAX_ALL_EVENTS = 250_000_000  # 32 bytes each during training
MAX_ALL_PIXELS = 2**31  # which takes up to a minute to decode
MIN_OF_A_CLASS = 2

Kind = Literal["image", "events"]

_HEAD_BYTES = 4096  # of a member, in which most formats say how many pixels follow
_PROBE = InputSpec(kind="image", channels=1, height=1, width=1)
_IN_WORDS: dict[Kind, str] = {"image": "images", "events": "event recordings"}


class Summary(BaseModel):
    """The contents of a data set: `classes` has the number of samples of each label.

    With `class_ids` the labels are class ids from an `.npz`, in decimals. `extent` is the width and height that the
    events span, None for images; `channels` is that of the images in an `.npz`, else None.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    samples: PositiveInt
    classes: dict[str, PositiveInt]
    class_ids: bool = False
    extent: tuple[int, int] | None = None
    channels: int | None = None


def inspect(path: Path, filename: str, limits: Limits) -> Summary:
    """Read and decode the whole data set at `path`, one member at a time, and summarize it.

    What is quick to read is checked first: the directory, the labels, and how many pixels the images' headers announce.
    `filename` is the name it was uploaded with. Raises `InvalidDataset` or `ArchiveTooLarge`, naming the member at
    fault.
    """
    with open_archive(path, limits.max_unpacked_bytes) as archive:
        arrays = arrays_of(archive, filename, limits)
        if arrays is None:
            return _summary_of_members(archive, limits)
        _check_classes(arrays.classes)
        arrays.check()
        return Summary(
            kind="image",
            samples=arrays.samples,
            classes=arrays.classes,
            class_ids=arrays.class_ids,
            channels=arrays.channels,
        )


def check_fits(
    summary: Summary, card: Card, labels: Sequence[str] | None = None, *, param: str = "training_file"
) -> None:
    """Raise `InvalidDataset` unless the model of `card` can be fine-tuned with the data set.

    `labels` are those of a new output layer, by default the model's own. The data set may lack some of them.
    """
    try:
        _check_input(summary, card.input)
        class_ids_of(summary.classes, card.labels if labels is None else labels, are_ids=summary.class_ids)
    except InvalidDataset as error:
        error.param = param
        raise


def _summary_of_members(archive: Archive, limits: Limits) -> Summary:
    members = labels_of_members(archive)
    if len(members) > limits.max_samples:
        raise ArchiveTooLarge(f"the archive has {len(members)} samples; the limit is {limits.max_samples}")
    classes = dict(sorted(Counter(members.values()).items()))
    _check_classes(classes)
    _check_announced_pixels(archive, members, limits)
    kinds: dict[Kind, str] = {}
    width, height, events, pixels = 0, 0, 0, 0
    for name in members:
        data = archive.read(name, MAX_MEMBER_BYTES)
        with prefix_errors(name):
            found = _decoded(data, name, limits)
        kinds.setdefault("image" if isinstance(found, int) else "events", name)
        if len(kinds) > 1:
            raise InvalidDataset(f"{shown(kinds['image'])} is an image and {shown(kinds['events'])} a recording")
        if isinstance(found, int):
            pixels += found
            _check_all_pixels(pixels, name)
            continue
        events += len(found)
        width, height = max(width, int(found[:, 1].max()) + 1), max(height, int(found[:, 2].max()) + 1)
        if events > MAX_ALL_EVENTS:
            raise ArchiveTooLarge(f"the recordings up to {shown(name)} have more than {MAX_ALL_EVENTS} events together")
    extent = (width, height) if events else None
    return Summary(kind="events" if events else "image", samples=len(members), classes=classes, extent=extent)


def _check_announced_pixels(archive: Archive, members: Iterable[str], limits: Limits) -> None:
    """Check the sizes that images announce in their headers, and the sum of them, before any is decoded."""
    pixels = 0
    for name in members:
        with archive.stream(name) as stream:
            head = stream.read(_HEAD_BYTES)
        if looks_like_image(head):
            width, height = announced_size(head)
            with prefix_errors(name):
                check_size(width, height, limits.max_image_pixels)
            pixels += width * height
            _check_all_pixels(pixels, name)


def _check_all_pixels(pixels: int, name: str) -> None:
    if pixels > MAX_ALL_PIXELS:
        raise ArchiveTooLarge(f"the images up to {shown(name)} have more than {MAX_ALL_PIXELS} pixels together")


def _decoded(data: bytes, name: str, limits: Limits) -> Integers | int:
    """The events of a recording, the number of pixels of an image. A file that could be either is what it reads as."""
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
        image = read_image(data, _PROBE, max_pixels=limits.max_image_pixels)
    except InvalidImage as error:
        if looks_like_image(data):
            raise
        raise InvalidDataset("neither an image nor an event recording in a supported format") from error
    height, width = image.resized_from or _PROBE.shape[1:]
    return height * width


def _check_classes(classes: Mapping[str, int]) -> None:
    """Check the labels, and the number of samples of each, which must suffice for training and validation."""
    if len(classes) > MAX_LABELS:
        raise ArchiveTooLarge(f"the data set has {len(classes)} classes; the limit is {MAX_LABELS}")
    for label, count in classes.items():
        if not label.isprintable() or not 0 < len(label) <= MAX_LABEL_LENGTH:
            raise InvalidDataset(
                f"{shown(label)} is not a valid label: it needs 1 to {MAX_LABEL_LENGTH} printable characters"
            )
        if count < MIN_OF_A_CLASS:
            raise InvalidDataset(
                f"class {shown(label)} has only one sample; at least {MIN_OF_A_CLASS} are needed, because a part "
                "is set aside for validation"
            )
    if len(classes) < 2:
        raise InvalidDataset(
            f"the data set has only one class, {shown(next(iter(classes)))}" if classes else "the data set is empty"
        )


def _check_input(summary: Summary, spec: InputSpec) -> None:
    if summary.kind != spec.kind:
        raise InvalidDataset(
            f"the data set holds {_IN_WORDS[summary.kind]}, but the model takes {_IN_WORDS[spec.kind]}"
        )
    if summary.extent is not None and (summary.extent[0] > spec.width or summary.extent[1] > spec.height):
        raise InvalidDataset(
            f"the recordings span {summary.extent[0]} x {summary.extent[1]} pixels, more than the model's sensor of "
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
        raise InvalidDataset(f"the model takes images with {spec.channels} channels, but {given}")
