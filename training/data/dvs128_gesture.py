"""DVS128 Gesture: 29 people making eleven gestures in front of an event camera, 128 x 128 pixels, two polarities.

Source: Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017. A recording is an AEDAT 3.1
file of all gestures of a person under one light; `<recording>_labels.csv` says when each begins and ends.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.events import read_events
from training.data.dataset import Dataset
from training.data.event_options import EventOptions, Events, Held, find_folder, read_recording
from training.errors import DataError

WIDTH, HEIGHT = 128, 128
FOLDERS = ("DvsGesture", "DVS128Gesture", "dvs128-gesture", "DVS128Gesture/DvsGesture")
LISTS = ("trials_to_train.txt", "trials_to_test.txt")
COLUMNS = ["class", "startTime_usec", "endTime_usec"]
LABELS = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
ATTRIBUTION = "DVS128 Gesture: Arnon Amir et al., IBM Research, 2017"
WEB_PAGE = "https://research.ibm.com/interactive/dvsgesture (unpack DvsGesture.tar.gz)"


@dataclass(frozen=True)
class Gesture:
    """A gesture of class `label` in a recording, from `start` until before `end`, in µs."""

    label: int
    start: int
    end: int


def load_dvs128_gesture(data_dir: Path | None, options: EventOptions) -> Dataset:
    """Load DVS128 Gesture from one of `FOLDERS` below `data_dir`, or from `data_dir` itself.

    `trials_to_train.txt` and `trials_to_test.txt` name the recordings of each part. Every labelled interval is a
    sample. Raises `DataError` that names what is missing or broken; nothing is downloaded.
    """
    folder = find_folder(
        data_dir,
        FOLDERS,
        lambda folder: any((folder / name).is_file() for name in LISTS),
        looked_for=f"{' and '.join(LISTS)} of DVS128 Gesture",
        web_page=WEB_PAGE,
    )
    train, test = (_load_part(folder / name, options) for name in LISTS)
    return Dataset("dvs128-gesture", LABELS, options.input(WIDTH, HEIGHT), train, test, ATTRIBUTION)


def _load_part(list_file: Path, options: EventOptions) -> Held:
    try:
        names = list_file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{list_file}: cannot be read: {error}") from error
    trials = [(path, _gestures(path)) for path in (list_file.with_name(name) for name in names)]
    labels = [gesture.label for _, gestures in trials for gesture in gestures]
    return options.hold(_samples(trials), labels, WIDTH, HEIGHT)


def _gestures(recording: Path) -> list[Gesture]:
    """The labelled intervals of a recording."""
    path = recording.with_name(f"{recording.stem}_labels.csv")
    try:
        header, *rows = csv.reader(path.read_text().splitlines())
        if header != COLUMNS:
            raise DataError(f"{path}: the columns are {','.join(header)}, expected {','.join(COLUMNS)}")
        found = [Gesture(*map(int, row)) for row in rows if row]
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as lines of {','.join(COLUMNS)}: {error}") from error
    for number, gesture in enumerate(found, start=2):
        if not 1 <= gesture.label <= len(LABELS):
            raise DataError(f"{path}, line {number}: class {gesture.label}; classes are 1 to {len(LABELS)}")
    return [Gesture(gesture.label - 1, gesture.start, gesture.end) for gesture in found]


def _samples(trials: Sequence[tuple[Path, list[Gesture]]]) -> Iterator[Events]:
    """The events of each interval, one recording after another."""
    for path, gestures in trials:
        events = read_recording(path, _read, WIDTH, HEIGHT)
        for gesture in gestures:
            first, last = events[:, 0].searchsorted([gesture.start, gesture.end])
            if first >= last:
                raise DataError(f"{path}: there are no events from {gesture.start} to {gesture.end} µs, a gesture")
            yield events[first:last]


def _read(data: bytes) -> Events:
    return read_events(data, "aedat", max_events=sys.maxsize)
