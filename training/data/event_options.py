"""How the recordings of an event data set are read, brought to the model's sensor and held in memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.card import InputSpec
from contract.errors import ServiceError
from contract.events import check_events
from contract.events.geometry import Geometry
from training.data.bins import Binning, Bins
from training.data.recordings import Recordings
from training.errors import DataError

Events = NDArray[np.int64]
Held = Recordings | Bins
CHANNELS = 2


@dataclass(frozen=True)
class EventOptions:
    """Choices for every event data set.

    Coordinates are divided by `downsample` and rounded down: the pixels of a square of that edge become one pixel, and
    their events its events. `binning` makes the bins to hold for an input; without it every event is held.
    """

    downsample: int = 1
    binning: Callable[[InputSpec], Binning] | None = None

    def input(self, width: int, height: int) -> InputSpec:
        """The model's input for a camera of `width` x `height`."""
        edge = self.downsample
        return InputSpec(kind="events", channels=CHANNELS, height=-(-height // edge), width=-(-width // edge))

    def hold(self, recordings: Iterable[Events], labels: Sequence[int], width: int, height: int) -> Held:
        """Hold recordings int64 `[M, 4]` of a camera of `width` x `height`, one after another as they come."""
        spec, geometry = self.input(width, height), Geometry(downsample=self.downsample)
        fitting = (geometry.fit(events, spec.width, spec.height, CHANNELS) for events in recordings)
        if self.binning is None:
            return Recordings.join(fitting, labels)
        return Bins.pack(fitting, labels, self.binning(spec))


EVERY_EVENT = EventOptions()


def read_recording(path: Path, read: Callable[[bytes], Events], width: int, height: int) -> Events:
    """The events of a file by one of the service's readers, checked against the camera; `DataError` names the file."""
    try:
        return check_events(read(path.read_bytes()), width, height, CHANNELS)
    except (OSError, ServiceError) as error:
        raise DataError(f"{path}: {error}") from error


def centred(events: Events, width: int, height: int) -> Events:
    """The events with the middle of their box in the middle of a sensor; what then lies outside is cut off.

    The box spans the least and the largest x and y. With an odd rest, it lies half a pixel to the left and the top.
    """
    moved = events.copy()
    for column, size in ((1, width), (2, height)):
        low, high = int(events[:, column].min()), int(events[:, column].max())
        moved[:, column] += (size - (high - low + 1)) // 2 - low
    x, y = moved[:, 1], moved[:, 2]
    return moved[(x >= 0) & (x < width) & (y >= 0) & (y < height)]


def find_folder(
    data_dir: Path | None, names: Sequence[str], is_it: Callable[[Path], bool], *, looked_for: str, web_page: str
) -> Path:
    """The first of the folders `names` below `data_dir`, or `data_dir` itself, that `is_it`; `DataError` otherwise."""
    folders = [] if data_dir is None else [*(data_dir / name for name in names), data_dir]
    if found := next((folder for folder in folders if is_it(folder)), None):
        return found
    searched = ", ".join(map(str, folders)) or "no folder, since no data folder was given"
    raise DataError(f"looked for {looked_for} in {searched}; the data set is at {web_page}")
