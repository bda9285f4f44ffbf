"""Simulate an event camera that looks at a picture in three saccades, as N-MNIST was recorded.

    python examples/saccades.py examples/digit.png recording.bin

The picture fills the middle of a 34 x 34 sensor and moves along a triangle, 100 ms a side. A pixel gives an event each
time the logarithm of its brightness has moved by the contrast threshold since its last event. The recording is written
in N-MNIST's format: 5 bytes an event.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SENSOR = 34
PICTURE = 28
SACCADE_US = 100_000
STEP_US = 500
CONTRAST = 0.45
CORNERS = np.array([(0.0, 0.0), (2.5, 5.0), (5.0, 0.0), (0.0, 0.0)])


def brightness(picture: NDArray[np.float64], dx: float, dy: float) -> NDArray[np.float64]:
    """What the sensor sees with the picture moved by a part of a pixel: log brightness `[34, 34]`."""
    canvas = np.zeros((SENSOR + 1, SENSOR + 1))
    x, y = int(dx), int(dy)
    canvas[y : y + PICTURE, x : x + PICTURE] = picture
    fx, fy = dx - x, dy - y
    right = np.roll(canvas, 1, axis=1)
    rows = (1 - fx) * canvas + fx * right
    moved = (1 - fy) * rows + fy * np.roll(rows, 1, axis=0)
    return np.log(moved[:SENSOR, :SENSOR] + 0.1)


def record(picture: NDArray[np.float64], seed: int = 0) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`: t (µs), x, y, p, in order of time."""
    rng = np.random.default_rng(seed)
    seen = brightness(picture, *CORNERS[0])
    events = []
    for start, (here, there) in enumerate(pairwise(CORNERS)):
        for t in range(0, SACCADE_US, STEP_US):
            dx, dy = here + (there - here) * t / SACCADE_US
            change = brightness(picture, dx, dy) - seen
            for _ in range(int(np.abs(change).max() / CONTRAST)):
                y, x = np.nonzero(np.abs(change) >= CONTRAST)
                sign = np.sign(change[y, x])
                times = start * SACCADE_US + t + rng.integers(0, STEP_US, len(x))
                events.append(np.stack([times, x, y, sign > 0], axis=1))
                seen[y, x] += sign * CONTRAST
                change[y, x] -= sign * CONTRAST
    found = np.concatenate(events).astype(np.int64)
    return found[np.argsort(found[:, 0], kind="stable")]


def to_nmnist(events: NDArray[np.int64]) -> bytes:
    """x; y; one bit of polarity and 23 bits of time, big-endian."""
    t, x, y, p = events.T
    word = (p << 23) | t
    return np.stack([x, y, word >> 16, (word >> 8) & 255, word & 255], axis=1).astype(np.uint8).tobytes()


def main() -> None:
    """Read the picture, write the recording."""
    source, target = map(Path, sys.argv[1:])
    with Image.open(source) as opened:
        picture = opened.convert("L").resize((PICTURE, PICTURE), Image.Resampling.BICUBIC)
    events = record(np.asarray(picture, dtype=np.float64) / 255)
    target.write_bytes(to_nmnist(events))
    print(f"{len(events)} events in {events[-1, 0] / 1000:.0f} ms")


if __name__ == "__main__":
    main()
