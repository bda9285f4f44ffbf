"""Lists of pixels -> `uint8 [C, H, W]`."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FailFast, Field, TypeAdapter, ValidationError

from contract.errors import InvalidImage

# Stop at the first bad pixel: errors for millions of them would fill the memory.
_Row = Annotated[list[Annotated[int, Field(strict=True, ge=0, le=255)]], FailFast()]
_Plane = Annotated[list[_Row], FailFast()]
_PLANE: TypeAdapter[_Plane] = TypeAdapter(_Plane)
_PLANES: TypeAdapter[list[_Plane]] = TypeAdapter(Annotated[list[_Plane], FailFast()])
_FloatRow = Annotated[list[Annotated[float, Field(strict=True, ge=0, le=1)]], FailFast()]
_FloatPlane = Annotated[list[_FloatRow], FailFast()]
_FLOAT_PLANE: TypeAdapter[_FloatPlane] = TypeAdapter(_FloatPlane)
_FLOAT_PLANES: TypeAdapter[list[_FloatPlane]] = TypeAdapter(Annotated[list[_FloatPlane], FailFast()])

_ADVICE = "pixels are integers from 0 to 255, or floats from 0 to 1, [C][H][W] or [H][W]"


def pixels_of_lists(pixels: Any) -> NDArray[np.uint8]:
    """Nested lists of integers 0..255, or, if one of them is a float, of numbers 0..1; `InvalidImage` otherwise."""
    has_channels = _is_list(pixels) and _is_list(pixels[0]) and _is_list(pixels[0][0])
    try:
        checked: Any = _PLANES.validate_python(pixels) if has_channels else [_PLANE.validate_python(pixels)]
        levels: NDArray[np.uint8] = _array(checked, np.uint8)
        return levels
    except ValidationError as error:
        problem = error
    if isinstance(problem.errors(include_url=False)[0]["input"], float):
        try:
            checked = _FLOAT_PLANES.validate_python(pixels) if has_channels else [_FLOAT_PLANE.validate_python(pixels)]
            scaled: NDArray[np.float64] = _array(checked, np.float64) * 255
            return np.rint(scaled).astype(np.uint8)
        except ValidationError as error:
            problem = error
    first = problem.errors(include_url=False, include_input=False)[0]
    where = "".join(f"[{index}]" for index in first["loc"])
    raise InvalidImage(f"pixels{where}: {first['msg']}; {_ADVICE}") from problem


def _array(checked: Any, dtype: Any) -> NDArray[Any]:
    try:
        array = np.array(checked, dtype)
    except ValueError as error:
        raise InvalidImage("pixels: all rows must have the same length, and all channels the same shape") from error
    if array.size == 0:
        raise InvalidImage("pixels: the image has no pixels")
    return array


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0
