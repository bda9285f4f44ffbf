"""The input tensor of a request, in JSON or as binary data -> its elements as bytes."""

import base64
from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any, NoReturn

import numpy as np

from contract.errors import InvalidParameter
from service.inference.input_tensor import EVENT_COLUMNS, LENGTH, Tensor
from service.open_inference.bodies import InferBody
from service.open_inference.tensors import INPUTS, SHAPES
from service.parsing import unknown_name
from service.sandbox.message import Spool

BINARY_SIZE = "binary_data_size"
"""The parameter of a tensor that says how many bytes of binary data are its elements."""

_ITEM_BYTES = {"UINT8": 1, "INT64": 8}  # those of BYTES differ
_DTYPES = {"UINT8": "u1", "INT64": "<i8"}


def tensor_of(body: InferBody, data: bytes | memoryview | Spool, start: int, left: int) -> Tensor:
    """The input of a request, whose `left` bytes of binary data begin at `start` of `data`.

    Raises `InvalidParameter` for an unknown input, for another datatype or number of dimensions, and for elements that
    are not as many as the shape says.
    """
    [given] = body.inputs
    name, shape, size = given.name, tuple(given.shape), given.parameters.get(BINARY_SIZE)
    if name not in INPUTS:
        error = unknown_name(name, INPUTS, "an input of this model")
        error.param = "inputs"
        raise error
    datatype, dimensions = INPUTS[name]
    if given.datatype != datatype:
        raise InvalidParameter(f"{name}: the datatype must be {datatype}, not {given.datatype!r}", param=name)
    if len(shape) != dimensions or (name == "events" and shape[1] != EVENT_COLUMNS):
        raise InvalidParameter(f"{name}: the shape must be {SHAPES[name]}, not {list(shape)}", param=name)
    if size is None:
        if left:
            raise InvalidParameter(
                f"{name}: {left} bytes follow the JSON, but the input has no parameter {BINARY_SIZE}", param=name
            )
        packed = bytes_of(given.data, name, datatype, shape)
        return Tensor(name, shape, packed, 0, len(packed))
    if given.data is not None:
        raise InvalidParameter(f"{name}: elements are given twice, as data and as binary data", param=name)
    if type(size) is not int or size != left:
        raise InvalidParameter(f"{name}: {BINARY_SIZE} is {size!r}, but {left} bytes follow the JSON", param=name)
    if datatype != "BYTES" and size != prod(shape) * _ITEM_BYTES[datatype]:
        raise InvalidParameter(
            f"{name}: {size} bytes are not {prod(shape)} elements of type {datatype}, as the shape {list(shape)} says",
            param=name,
        )
    return Tensor(name, shape, data, start, size)


def bytes_of(data: Any, name: str, datatype: str, shape: Sequence[int]) -> bytes:
    """The elements that JSON gives as `data`, flat or nested as `shape` says; strings are base64.

    Raises `InvalidParameter` for ragged lists, a wrong number of elements, and elements of another type.
    """
    flat = _flat(data, name, shape)
    if datatype == "BYTES":
        return b"".join(_with_length(_from_base64(text, name, index)) for index, text in enumerate(flat))
    if set(map(type, flat)) - {int}:
        _refuse_first(flat, name, datatype, lambda value: type(value) is int)
    limits = np.iinfo(_DTYPES[datatype])
    if flat and not (limits.min <= min(flat) and max(flat) <= limits.max):
        _refuse_first(flat, name, datatype, lambda value: limits.min <= value <= limits.max)
    return np.array(flat, _DTYPES[datatype]).tobytes()


def pack_strings(values: Sequence[bytes]) -> bytes:
    """Elements of type BYTES, one after the other."""
    return b"".join(map(_with_length, values))


def _with_length(value: bytes) -> bytes:
    return LENGTH.pack(len(value)) + value


def _flat(data: Any, name: str, shape: Sequence[int]) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidParameter(f"{name}: data must be a list of elements", param=name)
    level = data
    if len(shape) > 1 and data and isinstance(data[0], list):
        level = [data]
        for dimension, size in enumerate(shape):
            for part in level:
                if not isinstance(part, list) or len(part) != size:
                    raise InvalidParameter(
                        f"{name}: the nested lists of data do not have the shape {list(shape)}: in dimension "
                        f"{dimension} there must be {size} elements everywhere",
                        param=name,
                    )
            level = list(chain.from_iterable(level))
    if len(level) != prod(shape):
        raise InvalidParameter(
            f"{name}: data has {len(level)} elements, but the shape {list(shape)} has {prod(shape)}", param=name
        )
    return level


def _from_base64(text: Any, name: str, index: int) -> bytes:
    if not isinstance(text, str):
        raise InvalidParameter(f"{name}: element {index} must be a string, the file in base64", param=name)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidParameter(
            f"{name}: element {index} is not base64; or send the file as binary data", param=name
        ) from None


def _refuse_first(flat: Sequence[Any], name: str, datatype: str, is_right: Any) -> NoReturn:
    at = next(index for index, value in enumerate(flat) if not is_right(value))
    shown = repr(flat[at])
    limits = np.iinfo(_DTYPES[datatype])
    raise InvalidParameter(
        f"{name}: element {at} is {shown[:40]}; {datatype} is an integer from {limits.min} to {limits.max}", param=name
    )
