"""Digits as people photograph them: pens on paper in uneven light, off-centre, and chalk on a board.

They are drawn from strokes, not from a data set, and the same seed gives the same photo.
"""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Point = tuple[float, float]

# Ways to write each digit: strokes as points of a smooth line, in a box of 1 x 1 from its upper left corner.
_STROKES: dict[int, list[list[list[Point]]]] = {
    0: [
        [[(0.5, 0.02), (0.18, 0.2), (0.1, 0.55), (0.25, 0.9), (0.55, 0.97), (0.85, 0.7), (0.86, 0.3), (0.5, 0.02)]],
        [[(0.55, 0.03), (0.22, 0.3), (0.2, 0.72), (0.5, 0.97), (0.78, 0.7), (0.76, 0.28), (0.55, 0.03)]],
    ],
    1: [[[(0.5, 0.02), (0.5, 0.5), (0.49, 0.98)]], [[(0.6, 0.02), (0.52, 0.5), (0.42, 0.98)]]],
    2: [
        [[(0.2, 0.25), (0.35, 0.04), (0.7, 0.08), (0.8, 0.3), (0.55, 0.6), (0.15, 0.95)], [(0.15, 0.95), (0.88, 0.93)]],
        [[(0.2, 0.2), (0.45, 0.02), (0.78, 0.2), (0.6, 0.55), (0.2, 0.9)], [(0.2, 0.9), (0.55, 0.93), (0.9, 0.88)]],
    ],
    3: [
        [
            [(0.2, 0.12), (0.5, 0.02), (0.76, 0.16), (0.68, 0.38), (0.42, 0.47)],
            [(0.42, 0.47), (0.74, 0.56), (0.8, 0.78), (0.52, 0.97), (0.16, 0.86)],
        ],
    ],
    4: [
        [[(0.3, 0.03), (0.2, 0.55)], [(0.2, 0.55), (0.85, 0.55)], [(0.7, 0.05), (0.66, 0.98)]],
        [[(0.35, 0.03), (0.15, 0.5), (0.5, 0.58), (0.85, 0.5)], [(0.75, 0.1), (0.68, 0.98)]],
    ],
    5: [
        [
            [(0.8, 0.05), (0.3, 0.06)],
            [(0.3, 0.06), (0.25, 0.44)],
            [(0.25, 0.44), (0.55, 0.36), (0.8, 0.55), (0.72, 0.86), (0.42, 0.97), (0.15, 0.86)],
        ],
    ],
    6: [
        [[(0.66, 0.03), (0.34, 0.3), (0.2, 0.68), (0.4, 0.96), (0.72, 0.84), (0.72, 0.6), (0.45, 0.54), (0.22, 0.72)]],
    ],
    7: [
        [[(0.15, 0.08), (0.83, 0.07)], [(0.83, 0.07), (0.6, 0.45), (0.4, 0.98)]],
        [[(0.15, 0.1), (0.85, 0.05)], [(0.85, 0.05), (0.5, 0.98)]],
    ],
    8: [
        [
            [
                (0.72, 0.14), (0.45, 0.03), (0.27, 0.22), (0.5, 0.46), (0.75, 0.72), (0.52, 0.97),
                (0.26, 0.78), (0.5, 0.48), (0.74, 0.26), (0.7, 0.12),
            ]
        ],
    ],
    9: [[[(0.74, 0.2), (0.5, 0.04), (0.27, 0.22), (0.42, 0.47), (0.72, 0.36), (0.75, 0.18), (0.72, 0.6), (0.6, 0.98)]]],
}  # fmt: skip

_PENS = {"ballpoint": (0.045, 0.06), "felt tip": (0.07, 0.1), "marker": (0.1, 0.14), "pencil": (0.05, 0.07)}
_INKS = {"ballpoint": (25, 35, 120), "felt tip": (20, 20, 25), "marker": (150, 25, 30), "pencil": (95, 95, 100)}


def drawn_photo(digit: int, seed: int, *, chalk: bool = False) -> bytes:
    """A JPEG of a handwritten digit: on paper with one of four pens, or with `chalk` on a dark board."""
    rng = np.random.default_rng([digit, seed])
    height, width = [(768, 1024), (1024, 768), (800, 800), (600, 1000)][int(rng.integers(4))]
    pen = str(rng.choice(list(_PENS)))
    ink = _written(digit, rng, (width, height), float(rng.uniform(*_PENS[pen])))
    paper = np.array((45, 70, 55)) if chalk else np.array((240, 236, 228)) + rng.uniform(-15, 10, 3)
    colour = np.array((235, 235, 230) if chalk else _INKS[pen])
    rgb = paper + (colour - paper) * ink[..., np.newaxis] * rng.uniform(0.8, 1)
    rgb *= _light(rng, (width, height))[..., np.newaxis]
    rgb += rng.normal(0, 4, rgb.shape)
    buffer = BytesIO()
    Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=int(rng.integers(60, 95)))
    return buffer.getvalue()


def _written(digit: int, rng: np.random.Generator, size: tuple[int, int], thickness: float) -> NDArray[Any]:
    """The share of ink in each pixel, float `[H, W]`."""
    width, height = size
    tall = float(rng.uniform(0.3, 0.75)) * height
    wide = tall * float(rng.uniform(0.55, 0.75))
    left = float(rng.uniform(0.04 * width, max(0.96 * width - wide, 0.05 * width)))
    top = float(rng.uniform(0.04 * height, 0.96 * height - tall))
    slant, turn = float(rng.uniform(-0.12, 0.15)), float(rng.uniform(-0.12, 0.12))
    mask = Image.new("L", size)
    draw, radius = ImageDraw.Draw(mask), max(thickness * tall / 2, 1)
    for stroke in _STROKES[digit][int(rng.integers(len(_STROKES[digit])))]:
        for u, v in _smooth(np.array(stroke) + rng.normal(0, 0.015, (len(stroke), 2))):
            x, y = u - 0.5 - slant * (v - 0.5), v - 0.5
            x, y = left + wide / 2 + wide * x - turn * tall * y, top + tall / 2 + tall * y + turn * wide * x
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(1, 3))))) / 255


def _smooth(points: NDArray[Any]) -> NDArray[Any]:
    """A Catmull-Rom spline through the points, in 60 steps between each pair."""
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    t = np.linspace(0, 1, 60)[:, np.newaxis]
    parts = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(parts)


def _light(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[Any]:
    """How much light falls on each pixel: a slope, dark corners and a soft shadow, float `[H, W]`."""
    width, height = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.3)
    light = 1 - depth * (1 + x * np.cos(angle) + y * np.sin(angle)) / 2
    light -= rng.uniform(0, 0.15) * (x**2 + y**2) / 2
    edge = x * np.cos(angle + 2) + y * np.sin(angle + 2) - rng.uniform(-0.5, 0.9)
    return np.asarray(light * (1 - rng.uniform(0, 0.3) / (1 + np.exp(-edge * rng.uniform(6, 14)))))
