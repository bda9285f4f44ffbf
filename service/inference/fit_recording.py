"""A recording's events -> the sample that the engine runs: in the order of time, on the model's sensor."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contract.card import Encoder, EventEncoder, InputSpec
from contract.errors import InvalidEvents, InvalidParameter
from contract.events.checks import check_order
from contract.events.geometry import Geometry, Window
from service.engine.interface import EventSample
from service.inference.bodies import EventsPreprocessing
from service.inference.condense_events import condense

Fit = Literal["scale", "crop"]  # of a recording

CONDENSED_ABOVE = 50_000  # events; fewer take less time to encode than to condense
LARGEST_SENSOR = 65_536  # pixels a side
_UNORDERED = "; order=sort sorts them"
_OUTSIDE = "; fit=scale scales the recording to the sensor, fit=crop or window=x,y,width,height takes a part of it"


@dataclass(frozen=True, slots=True)
class Fitting:
    """What is done to recordings that do not fit the model; by default nothing.

    `fit` scales the picture to the model's sensor, or takes its middle part. The picture is `window`, or reaches to the
    largest coordinates of the recording. `flip_y` counts rows from the lower edge of the model's sensor, `sort` puts
    events into the order of their times.
    """

    fit: Fit | None = None
    window: Window | None = None
    flip_y: bool = False
    sort: bool = False

    def check(self, spec: InputSpec) -> None:
        """`InvalidParameter` for a window that does not fit the model's sensor."""
        if self.window is None or self.fit == "scale":
            return
        if self.fit == "crop":
            raise InvalidParameter("fit=crop takes the middle part, so it has no window", param="window")
        if self.window.width > spec.width or self.window.height > spec.height:
            raise InvalidParameter(
                f"a window of {self.window.width} x {self.window.height} pixels is larger than the model's sensor of "
                f"{spec.width} x {spec.height}; fit=scale scales it",
                param="window",
            )


def fit_recording(
    events: NDArray[np.int64], spec: InputSpec, encoder: Encoder, fitting: Fitting
) -> tuple[EventSample, EventsPreprocessing]:
    """The sample of `events` int64 `[N, 4]` (t, x, y, p), at least one, in any order; and what was done to them.

    Raises `InvalidEvents` for times that fall, unless they are sorted, for an event outside the model's sensor, and if
    no event is left.
    """
    count, done = len(events), EventsPreprocessing(events=len(events), events_used=0, span_us=0)
    if fitting.sort:
        events = events[np.argsort(events[:, 0], kind="stable")]
        done["sorted"] = True
    else:
        check_order(events, _UNORDERED)
    geometry = _geometry(events, spec, fitting)
    if geometry.crop is not None:
        done["window"] = geometry.crop
    if geometry.scale is not None:
        done["resized_from"] = geometry.scale[1], geometry.scale[0]
    if geometry.flip_y:
        done["flipped_y"] = True
    events = geometry.fit(events, spec.width, spec.height, spec.channels, _OUTSIDE)
    if not len(events):
        raise InvalidEvents(f"none of the {count} events lies inside the window", param="window")
    if geometry.crop is not None:
        done["events_in_window"] = len(events)
    times = events[:, 0] - events[0, 0]
    done["events_used"], done["span_us"] = len(events), int(times[-1])
    if isinstance(encoder, EventEncoder) and encoder.step_us is not None:
        done["events_used"] = int(np.count_nonzero(times // encoder.step_us < encoder.timesteps))
    if isinstance(encoder, EventEncoder) and len(events) > CONDENSED_ABOVE:
        events = condense(events, encoder, spec)
    return EventSample(events), done


def _geometry(events: NDArray[np.int64], spec: InputSpec, fitting: Fitting) -> Geometry:
    if fitting.fit is None:
        return Geometry(crop=fitting.window, flip_y=fitting.flip_y)
    if fitting.window is not None:
        size = fitting.window.width, fitting.window.height
    else:
        size = int(events[:, 1].max()) + 1, int(events[:, 2].max()) + 1
        if max(size) > LARGEST_SENSOR:
            raise InvalidEvents(f"the events reach to {size[0]} x {size[1]} pixels; no sensor is as large")
    if fitting.fit == "scale":
        return Geometry(crop=fitting.window, scale=size, flip_y=fitting.flip_y)
    return Geometry(crop=Window.centre(size, (spec.width, spec.height)), flip_y=fitting.flip_y)
