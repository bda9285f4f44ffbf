"""The kinds of noise by name, what their levels mean, and the levels of a noise curve."""

from dataclasses import dataclass
from typing import Literal
from zlib import crc32

import numpy as np

from training.errors import ConfigError

Target = Literal["images", "events", "network"]


@dataclass(frozen=True)
class Kind:
    """A kind of noise. `levels` are those of a curve, the first of them without noise; `limit` is the largest."""

    name: str
    target: Target
    unit: str
    levels: tuple[float, ...]
    limit: float = float("inf")


KINDS = {
    kind.name: kind
    for kind in (
        Kind("gaussian", "images", "standard deviation, with pixels from 0 to 1", (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)),
        Kind("salt-and-pepper", "images", "share of values", (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3), 1),
        Kind("drop", "events", "share of events", (0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9), 1),
        Kind("background", "events", "events per second and pixel", (0, 0.1, 0.5, 1, 5)),
        Kind("jitter", "events", "standard deviation in ms", (0, 1, 5, 10)),
        Kind("flip", "events", "share of events", (0, 0.05, 0.1, 0.2, 0.3), 1),
        Kind("weights", "network", "standard deviation relative to the weights'", (0, 0.1, 0.2, 0.3, 0.5)),
        Kind("thresholds", "network", "standard deviation relative to the layer's mean", (0, 0.1, 0.2, 0.3, 0.5)),
        Kind("spikes", "network", "share of hidden spikes that are lost", (0, 0.1, 0.2, 0.3, 0.5), 1),
        Kind("silent", "network", "share of hidden neurons that never spike", (0, 0.05, 0.1, 0.2, 0.3), 1),
    )
}


@dataclass(frozen=True)
class Noise:
    """Noise of one kind at one level. Two draws of it are independent; the same draw is always the same."""

    kind: Kind
    level: float
    draw: int = 0

    def generator(self, *stream: int) -> np.random.Generator:
        """The random numbers of one stream, such as a sample: they depend on kind, level, draw and stream alone."""
        number = crc32(self.kind.name.encode())
        level = int(np.float64(self.level).view(np.uint64))
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([number, level, self.draw, *stream])))


def parse_noise(text: str, draw: int = 0) -> Noise:
    """Noise written as `KIND=LEVEL`, such as `gaussian=0.2`; `ConfigError` for anything else."""
    name, _, level_text = text.partition("=")
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigError(f"there is no noise {name!r}; there are {', '.join(KINDS)}")
    try:
        level = float(level_text)
    except ValueError:
        raise ConfigError(f"noise {text!r}: write KIND=LEVEL, such as {name}={kind.levels[-1]:g}") from None
    if not 0 <= level <= kind.limit or level == float("inf"):
        most = "" if kind.limit == float("inf") else f" and at most {kind.limit:g}"
        raise ConfigError(f"noise {text!r}: the level must be at least 0{most} ({kind.unit})")
    return Noise(kind, level, draw)
