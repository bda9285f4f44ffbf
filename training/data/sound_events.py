"""A spiking front end for sound: an event wherever the energy of a frequency band rises or falls through a level.

Threshold coding as in Gütig and Sompolinsky, "Time-Warp-Invariant Neuronal Processing", PLoS Biology 2009, with fewer
levels and without their events for maxima.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

BANDS = 64
LEVELS = 8
LEVEL_DB = 5.0
WINDOW_S, HOP_S = 0.032, 0.010
LOWEST_HZ = 60.0
FLOOR_DB = -100.0

Floats = NDArray[np.float64]


def sound_events(samples: Floats, rate: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]` (t in µs, level, band, 1 for rising and 0 for falling) of a sound that is not silent.

    Bands rise in frequency and levels in energy: the highest level lies `LEVEL_DB` below the largest energy of all,
    and each other one as much below the next. The times of crossings are interpolated between frames; before its first
    frame, a sound is below all levels.
    """
    energy = log_mel(samples, rate)
    levels = energy.max() - LEVEL_DB * np.arange(LEVELS, 0, -1)
    before = np.vstack([np.full(BANDS, energy.min() + FLOOR_DB), energy[:-1]])
    rows = []
    for level, value in enumerate(levels):
        frame, band = np.nonzero((before < value) != (energy < value))
        low, high = before[frame, band], energy[frame, band]
        place = np.maximum(frame - 1 + (value - low) / (high - low), 0)  # in frames
        time = np.rint(place * HOP_S * 1e6).astype(np.int64)
        rows.append(np.column_stack([time, np.full(len(band), level), band, high > low]))
    events = np.concatenate(rows).astype(np.int64)
    return events[np.lexsort((events[:, 1], events[:, 2], events[:, 0]))]


def log_mel(samples: Floats, rate: int) -> Floats:
    """The energy of `BANDS` mel bands in dB, `[frames, BANDS]`, of windows of `WINDOW_S` every `HOP_S`."""
    window, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    padded = np.pad(samples, (0, max(window - len(samples), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, 2 * window)) ** 2
    return 10 * np.log10(np.maximum(power @ mel_filters(rate, 2 * window), 10 ** (FLOOR_DB / 10)))


@cache
def mel_filters(rate: int, size: int) -> Floats:
    """Triangular filters `[size // 2 + 1, BANDS]`, equally spaced in mel from `LOWEST_HZ` to half the sample rate."""
    edges = 700 * (10 ** (np.linspace(_mel(LOWEST_HZ), _mel(rate / 2), BANDS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(size, 1 / rate)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    filters: Floats = np.clip(np.minimum(rising, falling), 0, None)
    return filters


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
