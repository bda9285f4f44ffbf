"""What is done to a picture beside resizing it: its polarity, its paper, and which part of it the model sees."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Invert = Literal["auto", "true", "false"]
ImageFit = Literal["stretch", "pad", "crop"]
Background = Literal["auto", "keep"]
Pixels = NDArray[np.uint8]
Ink = NDArray[np.float32]
Box = tuple[int, int, int, int]

CONTENT_SHARE = 20 / 28
"""The part of the frame that its content takes, as in MNIST."""

_WORKING_SIDE = 512  # pixels; enough for writing that takes a tenth of the picture
_LIGHT_SIDE = 64  # pixels of the picture from which the light on the paper is estimated
_LIGHT_WINDOW = 19  # of these, more than twice the width of a stroke
_FAINTEST = 0.06  # of the paper's brightness: what differs less is paper
_NOISE = 6.0  # standard deviations
_EDGE_SHARE = 0.3  # of the ink's strength; less is dirt, or the blurred edge of a stroke
_MOST_GAIN = 4.0  # of thin strokes, which fade when they are scaled down


@dataclass(frozen=True, slots=True)
class ImageFitting:
    """What is done to images that are not like the model's training data; by default they are stretched to its size.

    `invert` exchanges dark and light; `auto` does so where what stands out is darker than its surroundings.
    `background=auto` sets the level of the paper to black in any light, and stretches what is on it to full contrast.
    `fit` keeps the aspect ratio: `pad` adds borders, `crop` takes the middle part, or with `background=auto` (where it
    is the default) the part around what is on the paper.
    """

    invert: Invert | None = None
    fit: ImageFit | None = None
    background: Background | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is done but a resize."""
        return self.invert in (None, "false") and self.background in (None, "keep") and self.fit in (None, "stretch")


PLAIN = ImageFitting()


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to a picture.

        `window` is the part that was kept (x, y, width, height), `padded_to` its height and width with borders, and
    `background` the mean level of the paper that was taken off, 0 to 255.
    """

    inverted: bool = False
    background: int | None = None
    window: Box | None = None
    padded_to: tuple[int, int] | None = None

    def scaled(self, scale: float) -> "Done":
        """The same for a picture that is `scale` times as large."""
        window, padded = self.window, self.padded_to
        return Done(
            self.inverted,
            self.background,
            window and (round(window[0] * scale), round(window[1] * scale), *_pair(window[2:], scale)),
            padded and _pair(padded, scale),
        )


NOTHING_DONE = Done()


def prepare(planes: Pixels, aspect: float, fitting: ImageFitting) -> tuple[Pixels, Done]:
    """The part of `planes` uint8 `[C, H, W]` that is to be resized to a model of `aspect` (width / height)."""
    inverted = fitting.invert == "true" or (fitting.invert == "auto" and is_dark_on_bright(planes))
    if fitting.background == "auto":
        return _without_paper(255 - planes if inverted else planes, aspect, fitting.fit or "crop", inverted)
    window = padded_to = None
    if fitting.fit == "crop":
        window = _middle(planes.shape[2], planes.shape[1], aspect)
        planes = _cut(planes, window)
    elif fitting.fit == "pad":
        planes = _padded(planes, aspect, _border(planes))
        padded_to = planes.shape[1], planes.shape[2]
    return (255 - planes if inverted else planes), Done(inverted, None, window, padded_to)


def stretch_contrast(planes: Pixels) -> Pixels:
    """A picture without paper, whose strokes faded when it was scaled down, at full brightness again."""
    lit = planes[planes > 25]
    if not lit.size:
        return planes
    gain = min(255 / float(np.percentile(lit, 90)), _MOST_GAIN)
    return (planes * gain).clip(0, 255).astype(np.uint8)


def is_dark_on_bright(planes: Pixels) -> bool:
    """Whether what stands out from its surroundings is darker than they are; of an empty picture, whether it is bright.

    What is written covers less than half of its surroundings, so their median is the paper, in any light.
    """
    small = _reduced(planes, _LIGHT_SIDE).mean(axis=0).astype(np.uint8)
    surroundings = np.asarray(Image.fromarray(small).filter(ImageFilter.MedianFilter(_LIGHT_WINDOW)), np.float32)
    difference = small - surroundings
    if np.abs(difference).max() < _FAINTEST * 255:
        return bool(np.median(small) > 127)
    return bool((difference**3).sum() < 0)


def _without_paper(planes: Pixels, aspect: float, fit: ImageFit, inverted: bool) -> tuple[Pixels, Done]:
    width = planes.shape[2]
    small = _reduced(planes, _WORKING_SIDE)
    paper = _paper(small)
    ink = ((small - paper) / np.maximum(255 - paper, 1)).clip(0, 1).astype(np.float32)
    strongest = ink.max(axis=0)
    # Most of a picture is paper, so its noise is the median distance from the median.
    middle = float(np.median(strongest))
    noise = 1.5 * float(np.median(np.abs(strongest - middle)))
    least = max(middle + _NOISE * noise, _FAINTEST)
    written = strongest[strongest > least]
    level = round(float(paper.mean()))
    level = 255 - level if inverted else level
    if written.size:
        strength = float(np.percentile(written, 75))
        low = max(least, _EDGE_SHARE * strength)
        ink = ((ink - low) / max(strength - low, 1e-3)).clip(0, 1)
    else:
        ink = np.zeros_like(ink)
    found = (ink * 255).astype(np.uint8)
    scale = width / small.shape[2]
    if fit == "stretch":
        return found, Done(inverted, level)
    if fit == "pad":
        found = _padded(found, aspect, [0] * len(found))
        return found, Done(inverted, level, None, found.shape[1:]).scaled(scale)
    frame = _frame(ink.max(axis=0), aspect)
    return _cut(found, frame), Done(inverted, level, frame).scaled(scale)


def _pair(values: tuple[int, ...], scale: float) -> tuple[int, int]:
    return round(values[0] * scale), round(values[1] * scale)


def _paper(small: NDArray[Any]) -> NDArray[Any]:
    """The level of the paper at each place of `[C, h, w]`: the lower quartile of its surroundings, without strokes."""
    height, width = small.shape[1:]
    levels = []
    for plane in small:
        image = Image.fromarray(plane.astype(np.uint8))
        image.thumbnail((_LIGHT_SIDE, _LIGHT_SIDE), Image.Resampling.BOX)
        window = _LIGHT_WINDOW
        light = image.filter(ImageFilter.RankFilter(window, window * window // 4)).filter(ImageFilter.GaussianBlur(2))
        levels.append(np.asarray(light.resize((width, height), Image.Resampling.BILINEAR), np.float32))
    return np.stack(levels)


def _frame(ink: Ink, aspect: float) -> Box:
    """The part of `[h, w]` around what is written, centred as MNIST is; it may reach beyond the picture."""
    height, width = ink.shape
    mask = ink > 0.5
    if not mask.any():
        return _middle(width, height, aspect)
    (left, right), (top, bottom) = _extent(mask.sum(axis=0)), _extent(mask.sum(axis=1))
    tall = max(bottom - top + 1, (right - left + 1) / aspect) / CONTENT_SHARE
    wide = tall * aspect
    mass = float(ink.sum())
    x = float(ink.sum(axis=0) @ (np.arange(width) + 0.5)) / mass
    y = float(ink.sum(axis=1) @ (np.arange(height) + 0.5)) / mass
    return round(x - wide / 2), round(y - tall / 2), max(round(wide), 1), max(round(tall), 1)


def _extent(counts: NDArray[Any]) -> tuple[int, int]:
    """The first and last place with ink; specks, which are few pixels, are left out."""
    total = np.cumsum(counts)
    return int(np.searchsorted(total, 0.004 * total[-1], "right")), int(np.searchsorted(total, 0.996 * total[-1]))


def _middle(width: int, height: int, aspect: float) -> Box:
    wide, tall = min(width, round(height * aspect)), min(height, round(width / aspect))
    wide, tall = max(wide, 1), max(tall, 1)
    return (width - wide) // 2, (height - tall) // 2, wide, tall


def _cut(planes: Pixels, box: Box) -> Pixels:
    """The part of `[C, H, W]` inside `box`; what lies outside of the picture is black."""
    x, y, wide, tall = box
    inside = planes[:, max(y, 0) : max(y + tall, 0), max(x, 0) : max(x + wide, 0)]
    if inside.shape[1:] == (tall, wide):
        return inside
    part = np.zeros((len(planes), tall, wide), np.uint8)
    top, left = max(-y, 0), max(-x, 0)
    part[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return part


def _padded(planes: Pixels, aspect: float, levels: list[int]) -> Pixels:
    channels, height, width = planes.shape
    wide, tall = max(width, round(height * aspect)), max(height, round(width / aspect))
    part = np.empty((channels, tall, wide), np.uint8)
    part[:] = np.array(levels, np.uint8)[:, np.newaxis, np.newaxis]
    top, left = (tall - height) // 2, (wide - width) // 2
    part[:, top : top + height, left : left + width] = planes
    return part


def _border(planes: Pixels) -> list[int]:
    """The usual level of each channel along the edge."""
    return [int(np.median(_border_values(plane[np.newaxis]))) for plane in planes]


def _border_values(planes: NDArray[Any]) -> NDArray[Any]:
    edges = planes[:, [0, -1]].ravel(), planes[:, :, [0, -1]].ravel()
    return np.concatenate(edges)


def _reduced(planes: Pixels, side: int) -> NDArray[Any]:
    """`[C, H, W]` with at most `side` pixels a side, each the mean of what it covers."""
    if max(planes.shape[1:]) <= side:
        return planes.astype(np.float32)
    small = []
    for plane in planes:
        image = Image.fromarray(np.ascontiguousarray(plane))
        image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
        small.append(np.asarray(image, np.float32))
    return np.stack(small)
