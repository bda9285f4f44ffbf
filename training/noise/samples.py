"""Noise on images and event recordings, applied to whole data sets before encoding."""

import numpy as np
import torch

from training.data import Bins, Images, Recordings, Samples
from training.errors import ConfigError
from training.noise.kinds import Noise


def noisy_samples(samples: Samples, noise: Noise, shape: tuple[int, int, int]) -> Samples:
    """The samples with noise; the noise of a sample depends on its index in the data set and not on the others.

    `shape` `(C, H, W)` is that of an input. `ConfigError` for noise on images with recordings, and the reverse.
    """
    target = "images" if isinstance(samples, Images) else "events"
    if noise.kind.target != target:
        raise ConfigError(f"noise {noise.kind.name} is for {noise.kind.target}, and the data set has {target}")
    if noise.level == 0:
        return samples
    if isinstance(samples, Images):
        return _noisy_images(samples, noise)
    if isinstance(samples, Bins):
        raise ConfigError(f"noise {noise.kind.name} needs every event, and only bins of the recordings are in memory")
    return _noisy_recordings(samples, noise, shape)


def _noisy_images(images: Images, noise: Noise) -> Images:
    change = {"gaussian": gaussian, "salt-and-pepper": salt_and_pepper}[noise.kind.name]
    pixels = images.pixels.numpy()
    changed = np.stack([change(each, noise.level, noise.generator(index)) for index, each in enumerate(pixels)])
    return Images(torch.from_numpy(changed), images.labels)


def gaussian(pixels: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise with a standard deviation of `level`, where 1 is the largest pixel; clipped to uint8."""
    noisy = pixels + 255 * level * rng.standard_normal(pixels.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def salt_and_pepper(pixels: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Replace a share of `level` of the values by 0 or 255, equally often."""
    replaced, white = rng.random(pixels.shape) < level, rng.random(pixels.shape) < 0.5
    return np.where(replaced, np.where(white, 255, 0), pixels).astype(np.uint8)


def _noisy_recordings(recordings: Recordings, noise: Noise, shape: tuple[int, int, int]) -> Recordings:
    def changed(index: int) -> np.ndarray:
        recording, rng = recordings[index], noise.generator(index)
        match noise.kind.name:
            case "drop":
                return drop(recording, noise.level, rng)
            case "flip":
                return flip(recording, noise.level, rng)
            case "jitter":
                return jitter(recording, noise.level, rng)
            case _:
                return background(recording, noise.level, rng, shape)

    return Recordings.join((changed(index) for index in range(len(recordings))), recordings.labels.tolist())


def drop(events: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Leave out a share of `level` of the events int64 `[M, 4]`; at least the first one stays."""
    kept = rng.random(len(events)) >= level
    kept[:1] |= not kept.any()
    return events[kept]


def flip(events: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Turn the polarity of a share of `level` of the events."""
    flipped = events.copy()
    flipped[:, 3] ^= rng.random(len(events)) < level
    return flipped


def jitter(events: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Move each event in time by a normal deviate with a standard deviation of `level` ms, and sort them again."""
    moved = events.copy()
    moved[:, 0] += np.rint(1000 * level * rng.standard_normal(len(events))).astype(np.int64)
    moved[:, 0] -= min(0, int(moved[:, 0].min(initial=0)))
    return moved[np.argsort(moved[:, 0], kind="stable")]


def background(events: np.ndarray, level: float, rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Add a Poisson process of `level` events per second at each pixel of `shape` `(C, H, W)`, of random polarity."""
    if not len(events):
        return events
    _, height, width = shape
    start, end = int(events[0, 0]), int(events[-1, 0])
    count = rng.poisson(level * height * width * (end - start) * 1e-6)
    columns = [rng.integers(low, high, count) for low, high in ((start, end + 1), (0, width), (0, height), (0, 2))]
    both = np.concatenate([events, np.stack(columns, 1)])
    return both[np.argsort(both[:, 0], kind="stable")]
