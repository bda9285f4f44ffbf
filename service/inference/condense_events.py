"""Long recordings without the events that change nothing, so that memory follows the network and not the camera."""

import numpy as np
from numpy.typing import NDArray

from contract.card import EventEncoder, InputSpec

Events = NDArray[np.int64]


def condense(events: Events, encoder: EventEncoder, spec: InputSpec) -> Events:
    """The events int64 `[N, 4]` that decide the network's input, in their order; the input stays the same to the bit.

    Of the events of one bin, pixel and polarity a binary bin needs the first and a count the first 255. Events behind
    the last time step go, apart from the last event of a recording that is cut into equal parts. At most
    `T x C x H x W` events are left for binary bins, plus one. `events` are inside the sensor, their times do not fall.
    """
    step = steps_of(events[:, 0] - events[0, 0], encoder)
    kept = np.flatnonzero(step < encoder.timesteps)
    cell = ((step * spec.channels + events[:, 3]) * spec.height + events[:, 2]) * spec.width + events[:, 1]
    order = kept[np.argsort(cell[kept], kind="stable")]
    sorted_cells = cell[order]
    starts = np.flatnonzero(np.diff(sorted_cells, prepend=-1))
    most = encoder.max_input
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    chosen = np.zeros(len(events), np.bool_)
    chosen[order[place < most]] = True
    chosen[-1] |= encoder.binning == "span"
    return events[chosen]


def steps_of(elapsed: Events, encoder: EventEncoder) -> Events:
    """The time step of each event by the time since the first one, T or more behind the last step."""
    if encoder.step_us is not None:
        return elapsed // encoder.step_us
    span = int(elapsed[-1])
    if span == 0:
        return np.zeros_like(elapsed)
    starts = [-(-part * span // encoder.timesteps) for part in range(1, encoder.timesteps)]
    return np.searchsorted(np.array(starts, np.int64), elapsed, side="right").astype(np.int64)
