"""The shared library for this processor, and its C functions. `native/interface.cpp` has the other side."""

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from event_engine.errors import Unsuitable

LEVELS = {4: "_x86_64_v4", 3: "_x86_64_v3"}
"""The libraries by the level of the x86-64 instruction set that each needs, best first."""

_FOLDER = Path(__file__).parent


class Synapses(ctypes.Structure):
    """`snn_synapses`."""

    _fields_ = (
        ("outputs", c_int64),
        ("kernel", c_int64),
        ("weight", c_void_p),
        ("weight_size", c_int64),
        ("bias", c_void_p),
        ("bias_size", c_int64),
        ("threshold", c_void_p),
        ("threshold_size", c_int64),
        ("fan_out", c_void_p),
        ("fan_out_size", c_int64),
        ("scale", c_float),
        ("tau", c_float),
    )


class Description(ctypes.Structure):
    """`snn_description`."""

    _fields_ = tuple(
        (name, c_int64)
        for name in ("channels", "height", "width", "timesteps", "coding", "step_us", "classes", "voters")
    )


class Batch(ctypes.Structure):
    """`snn_batch`."""

    _fields_ = (
        ("samples", c_int64),
        ("threads", c_int64),
        ("potentials", c_void_p),
        ("potentials_size", c_int64),
        ("scores", c_void_p),
        ("spikes", c_void_p),
        ("synops", c_void_p),
        ("input", c_void_p),
        ("scores_size", c_int64),
        ("counts_size", c_int64),
        ("leads", c_void_p),
        ("used", c_void_p),
        ("leads_size", c_int64),
        ("used_size", c_int64),
        ("fired", c_void_p),
        ("fired_size", c_int64),
    )


_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "snn_error": (c_char_p, ()),
    "snn_new": (c_int, (POINTER(Description), POINTER(c_void_p))),
    "snn_free": (None, (c_void_p,)),
    "snn_neurons": (c_int64, (c_void_p,)),
    "snn_bytes": (c_int64, (c_void_p,)),
    "snn_add_conv": (c_int, (c_void_p, POINTER(Synapses))),
    "snn_add_residual": (c_int, (c_void_p, POINTER(Synapses), POINTER(Synapses), POINTER(Synapses))),
    "snn_add_pool": (c_int, (c_void_p, c_int64)),
    "snn_add_full": (c_int, (c_void_p, POINTER(Synapses))),
    "snn_run_frames": (c_int, (c_void_p, c_void_p, c_int64, c_int64, POINTER(Batch))),
    "snn_run_images": (c_int, (c_void_p, c_void_p, c_int64, c_void_p, c_void_p, POINTER(Batch))),
    "snn_run_events": (c_int, (c_void_p, c_void_p, c_void_p, c_int, POINTER(Batch))),
}
_NO_MEMORY = 2
_INTERFACE = 3  # `snn_interface_number`


class Library:
    """The functions of the shared library at `path`. Calls release the interpreter's lock.

    Raises `Unsuitable` for a file that the system cannot load, or that was built from other sources.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise Unsuitable(f"the event engine cannot be loaded: {error}") from error
        if getattr(library, "snn_interface", int)() != _INTERFACE:
            raise Unsuitable("the event engine was built from other sources: install the project again")
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._functions = {name: getattr(library, name) for name in _SIGNATURES}

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that returns a status; `MemoryError`, or `ValueError` for arguments that cannot be."""
        status = self._functions[name](*arguments)
        if status == _NO_MEMORY:
            raise MemoryError("the event engine has not enough memory")
        if status:
            raise ValueError(self._functions["snn_error"]().decode())

    def neurons(self, network: c_void_p) -> int:
        """How many neurons a network has."""
        return int(self._functions["snn_neurons"](network))

    def memory_bytes(self, network: c_void_p) -> int:
        """Bytes of a network's weights, thresholds and biases."""
        return int(self._functions["snn_bytes"](network))

    def free(self, network: c_void_p) -> None:
        """Release a network."""
        self._functions["snn_free"](network)


@cache
def find_library() -> Library:
    """The best library for this processor; `Unsuitable` where there is none."""
    detector = _built("_level")
    if detector is None:
        raise Unsuitable("the event engine was not built: its installation needs a C++ compiler for x86-64")
    level = ctypes.CDLL(str(detector)).snn_level()
    paths = [_built(name) for needed, name in LEVELS.items() if level >= needed]
    for path in paths:
        if path is not None:
            return Library(path)
    raise Unsuitable("this processor lacks AVX2" if not paths else "the event engine was not built for this processor")


def built_libraries() -> list[Path]:
    """The libraries that were built and that this processor can run, best first."""
    detector = _built("_level")
    level = ctypes.CDLL(str(detector)).snn_level() if detector else 0
    return [path for needed, name in LEVELS.items() if level >= needed and (path := _built(name))]


def _built(name: str) -> Path | None:
    paths = (_FOLDER / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)
