"""What `predict` takes: files, pixels, events and recordings, as the body of one request.

Arrays are read through the buffer protocol, so that NumPy's work and NumPy is not needed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

Input = Mapping[str, Any]
"""One input as JSON, such as `image`, `pixels`, `events` and `recording` make it."""


def image(file: str | Path | Buffer, *, seed: int | None = None) -> Input:
    """An image file, by its path or as its content."""
    return _input("image", _base64(file), seed=seed)


def pixels(values: Any, *, seed: int | None = None) -> Input:
    """Pixels from 0 to 255, `[H, W]` or `[C, H, W]`: an array of uint8, or lists."""
    return _input("pixels", _lists(values), seed=seed)


def events(values: Any, *, seed: int | None = None) -> Input:
    """Events: a mapping, a structured array or a data frame with t (µs, ascending), x, y and p (0 or 1)."""
    return _input("events", columns(values), seed=seed)


def recording(
    file: str | Path | Buffer, *, format: str | None = None, camera: str | None = None, seed: int | None = None
) -> Input:
    """A recording file, by its path or as its content; its format is detected if it is not given."""
    return _input("recording", _base64(file), format=format, camera=camera, seed=seed)


def as_input(value: Any) -> Input:
    """An input by its type: a mapping is one already, a structured array holds events, other arrays pixels."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str | Path | bytes):
        raise TypeError("beside other inputs, say what a file is: image(file) or recording(file)")
    if getattr(getattr(value, "dtype", None), "names", None):
        return events(value)
    return pixels(value)


def columns(values: Any) -> dict[str, list[int]]:
    """Columns t, x, y and p as lists of integers of one length; `ValueError` otherwise."""
    found = {name: [int(value) for value in _listed(values[name])] for name in "txyp"}
    if len(set(map(len, found.values()))) != 1:
        raise ValueError("t, x, y and p must have one length")
    return found


def _input(kind: str, value: Any, **more: Any) -> Input:
    return {kind: value} | {name: each for name, each in more.items() if each is not None}


def _base64(file: str | Path | Buffer) -> str:
    data = Path(file).read_bytes() if isinstance(file, str | Path) else file
    return base64.b64encode(memoryview(data)).decode()


def _lists(values: Any) -> Any:
    if isinstance(values, list | tuple):
        return values
    view = memoryview(values)
    if view.format != "B" or view.ndim < 2:
        raise ValueError("pixels are uint8, [H, W] or [C, H, W]")
    return view.tolist()


def _listed(values: Any) -> Iterable[Any]:
    listed: Iterable[Any] = values.tolist() if hasattr(values, "tolist") else values
    return listed
