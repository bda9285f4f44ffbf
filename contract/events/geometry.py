"""From a camera's sensor to a model's: crop, join or scale pixels, and turn the picture upside down."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents, InvalidParameter
from contract.events.checks import check_events


class Window(NamedTuple):
    """A part of a sensor: its upper left pixel and its size."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str, param: str) -> "Window":
        """The window written as `x,y,width,height`; `InvalidParameter` naming `param` for anything else."""
        parts = text.split(",")
        if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) <= 6 for part in parts):
            raise InvalidParameter(f"{param} must be x,y,width,height in pixels, such as 40,0,240,240", param=param)
        window = cls(*map(int, parts))
        if not window.width or not window.height:
            raise InvalidParameter(f"{param} must be at least one pixel wide and high", param=param)
        return window

    @classmethod
    def centre(cls, sensor: tuple[int, int], size: tuple[int, int]) -> "Window":
        """The window of `size` (width, height) in the middle of a `sensor`, at most as large as it."""
        width, height = min(sensor[0], size[0]), min(sensor[1], size[1])
        return cls((sensor[0] - width) // 2, (sensor[1] - height) // 2, width, height)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What happens to the places of events before a model sees them, in this order; by default nothing.

    `crop` leaves out the events outside a window, and counts from its corner. `downsample` joins squares of so many
    pixels a side into one. `scale`, the size (width, height) of the picture so far, stretches or shrinks it to the
    model's sensor. `flip_y` counts rows from the lower edge of the model's sensor.
    """

    crop: Window | None = None
    downsample: int = 1
    scale: tuple[int, int] | None = None
    flip_y: bool = False

    def check(self, width: int, height: int) -> None:
        """`InvalidParameter` if the events cannot fit into a model's sensor of `width` x `height`."""
        if self.downsample < 1:
            raise InvalidParameter("downsample must be 1 or more", param="downsample")
        if self.downsample > 1 and self.scale is not None:
            raise InvalidParameter("downsample and scaling exclude each other", param="downsample")
        if self.crop is None or self.scale is not None:
            return
        size = -(-self.crop.width // self.downsample), -(-self.crop.height // self.downsample)
        if size[0] > width or size[1] > height:
            reduced = f" and a downsample of {self.downsample}" if self.downsample > 1 else ""
            raise InvalidParameter(
                f"a crop of {self.crop.width} x {self.crop.height}{reduced} gives {size[0]} x {size[1]} pixels, but "
                f"the model's sensor has {width} x {height}",
                param="crop",
            )

    def fit(
        self, events: NDArray[np.int64], width: int, height: int, channels: int, advice: str = ""
    ) -> NDArray[np.int64]:
        """`events` int64 `[N, 4]` (t, x, y, p) on a model's sensor; those outside the crop are missing.

        `advice` ends the message about an event outside the sensor. Raises `InvalidEvents` naming the first event that
        is outside the sensor, or outside the picture to be scaled.
        """
        if self.crop is not None:
            left, top, wide, high = self.crop
            x, y = events[:, 1], events[:, 2]
            events = events[(x >= left) & (x < left + wide) & (y >= top) & (y < top + high)]
            events[:, 1] -= left
            events[:, 2] -= top
        if self.downsample > 1:
            events = events.copy()
            events[:, 1:3] //= self.downsample
        if self.scale is not None:
            events = self._scaled(events, self.scale, width, height)
        if len(events):
            events = check_events(events, width, height, channels, advice)
        if self.flip_y:
            events = events.copy()
            events[:, 2] = height - 1 - events[:, 2]
        return events

    def _scaled(self, events: NDArray[np.int64], size: tuple[int, int], width: int, height: int) -> NDArray[np.int64]:
        outside = (events[:, 1] >= size[0]) | (events[:, 2] >= size[1])
        if outside.any():
            at = int(outside.argmax())
            raise InvalidEvents(
                f"event {at} is at x {events[at, 1]}, y {events[at, 2]}, outside the {size[0]} x {size[1]} pixels that "
                "are scaled to the model's sensor"
            )
        events = events.copy()
        events[:, 1] = events[:, 1] * width // size[0]
        events[:, 2] = events[:, 2] * height // size[1]
        return events
