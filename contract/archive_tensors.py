"""The tensors of a TorchScript archive, read without torch.

An archive describes its modules in `data.pkl`, a program for Python's unpickler, which could call anything. It is not
run here: `pickletools` splits it into instructions, and this module knows those that TorchScript writes. The only
"calls" are to the names of a tensor and of a list; any other name becomes a module without code. Tensors are raw bytes
in members of their own, whose sizes are compared with what the description says.
"""

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_DESCRIPTION_BYTES = 1_000_000
_MAX_TENSORS = 10_000
_MAX_DEPTH = 32

_TYPES = {"HalfStorage": "<f2", "FloatStorage": "<f4", "DoubleStorage": "<f8", "BoolStorage": "|b1"} | {
    "CharStorage": "|i1", "ByteStorage": "|u1", "ShortStorage": "<i2", "IntStorage": "<i4", "LongStorage": "<i8"
}  # fmt: skip
_TENSOR = "torch._utils _rebuild_tensor_v2"
_LISTS = {f"torch.jit._pickle build_{kind}list" for kind in ("int", "double", "bool", "tensor")}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class UnreadableTensors(ValueError):
    """The archive describes its tensors in another way than TorchScript does, or they do not fit the description."""


def read_tensors(data: bytes) -> dict[str, NDArray[np.generic]]:
    """The tensors of the archive `data`, by the names of its modules' `state_dict`.

    `contract.checkpoint.check_archive` has to have bounded the members' sizes. Raises `UnreadableTensors`.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return dict(_tensors_of(archive))
    except UnreadableTensors:
        raise
    except Exception as error:  # zipfile and pickletools fail on damaged input in many ways
        raise UnreadableTensors("the archive's description of its tensors is damaged") from error


@dataclass(frozen=True)
class _Name:
    name: str


@dataclass
class _Module:
    """An object of a scripted class: its attributes, once they are known."""

    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Storage:
    kind: str
    member: str
    size: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    pass


def _tensors_of(archive: zipfile.ZipFile) -> Iterator[tuple[str, NDArray[np.generic]]]:
    folder = _folder(archive)
    if f"{folder}/byteorder" in archive.namelist() and archive.read(f"{folder}/byteorder") != b"little":
        raise UnreadableTensors("the archive was written by a big-endian machine")
    description = archive.getinfo(f"{folder}/data.pkl")
    if description.file_size > _MAX_DESCRIPTION_BYTES:
        raise UnreadableTensors(f"the archive describes its tensors in more than {_MAX_DESCRIPTION_BYTES} bytes")
    root = _build(archive.read(description))
    for count, (name, tensor) in enumerate(_walk(root, "", 0)):
        if count == _MAX_TENSORS:
            raise UnreadableTensors(f"the archive has more than {_MAX_TENSORS} tensors")
        yield name, _read(archive, folder, name, tensor)


def _folder(archive: zipfile.ZipFile) -> str:
    """The one folder in which all members are."""
    folders = {name.partition("/")[0] for name in archive.namelist()}
    if len(folders) != 1:
        raise UnreadableTensors("the archive has more than one folder")
    return folders.pop()


def _walk(module: _Module, prefix: str, depth: int) -> Iterator[tuple[str, _Tensor]]:
    if depth > _MAX_DEPTH:
        raise UnreadableTensors(f"the archive's modules are nested more than {_MAX_DEPTH} deep")
    for name, value in module.attributes.items():
        if isinstance(value, _Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _walk(value, f"{prefix}{name}.", depth + 1)


def _read(archive: zipfile.ZipFile, folder: str, name: str, tensor: _Tensor) -> NDArray[np.generic]:
    storage, count = tensor.storage, prod(tensor.shape)
    kind = np.dtype(_TYPES[storage.kind])
    member = archive.getinfo(f"{folder}/data/{storage.member}")
    if storage.size < 0 or member.file_size != storage.size * kind.itemsize:
        raise UnreadableTensors(f"{name} has another size than its bytes")
    if min(tensor.shape, default=0) < 0 or tensor.offset < 0 or tensor.offset + count > storage.size:
        raise UnreadableTensors(f"{name} is outside of its bytes")
    if count and tensor.strides != _contiguous(tensor.shape):
        raise UnreadableTensors(f"{name} is not stored in order")
    values = np.frombuffer(archive.read(member), kind, count, tensor.offset * kind.itemsize)
    return values.reshape(tensor.shape)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _build(description: bytes) -> _Module:
    """The root module that the instructions describe."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(description):
        name = opcode.name
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            stack.append(argument)
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        else:
            _step(name, argument, stack, memo)
    root = stack.pop()
    if stack or not isinstance(root, _Module):
        raise UnreadableTensors("the archive does not describe a module")
    return root


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One of the other instructions that TorchScript writes."""
    match name:
        case "PROTO" | "STOP":
            pass
        case "GLOBAL":
            stack.append(_Name(argument))
        case "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case "MARK":
            stack.append(_Mark)
        case "EMPTY_TUPLE":
            stack.append(())
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_LIST":
            stack.append([])
        case "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        case "APPENDS":
            items = _since_mark(stack)
            stack[-1].extend(items)
        case "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        case "SETITEMS":
            items = _since_mark(stack)
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        case "SETITEM":
            key, value = stack[-2:]
            del stack[-2:]
            stack[-1][key] = value
        case "NEWOBJ":
            stack[-2:] = [_Module()]
        case "BUILD":
            attributes = stack.pop()
            stack[-1].attributes.update(attributes)
        case "BINPERSID":
            kind, storage, member, _, size = stack.pop()
            if kind != "storage" or not storage.name.startswith("torch "):
                raise UnreadableTensors("the archive refers to something that is not in it")
            stack.append(_Storage(storage.name.removeprefix("torch "), member, size))
        case "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_called(called.name, arguments))
        case _:
            raise UnreadableTensors(f"the archive describes its tensors with {name}")


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        return _Tensor(storage, offset, shape, strides)
    if name in _LISTS:
        return arguments[0]
    if name == "collections OrderedDict" and not arguments:  # the hooks of a tensor, of which there are none
        return {}
    raise UnreadableTensors(f"the archive calls {name}")


def _since_mark(stack: list[Any]) -> list[Any]:
    """The items above the last mark, which are taken off together with it."""
    place = len(stack) - 1 - stack[::-1].index(_Mark)
    items = stack[place + 1 :]
    del stack[place:]
    return items
