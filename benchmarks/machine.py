"""What a measurement ran on, and how competitors are timed beside each other."""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from service.engine.allocator import keep_freed_memory

Runner = Callable[[], object]
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.thread_time}

_MATRIX_SIZE = 1024
MATRIX_FLOP = 2 * _MATRIX_SIZE**3


def positive(text: str) -> int:
    """A whole number above zero, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def use_one_thread() -> None:
    """Keep torch on one thread: everything is measured so. Call it before torch has computed anything.

    Freed memory is kept, as the service keeps it, for all that are compared.
    """
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)


def describe_machine() -> str:
    """Processor, cores, instruction set, threads and versions, in one line."""
    instructions = torch.backends.cpu.get_cpu_capability()
    return (
        f"{processor_name()}, {torch.get_num_threads()} of {torch.multiprocessing.cpu_count()} cores used, "
        f"{instructions}, torch {torch.__version__}, Python {platform.python_version()}"
    )


def processor_name() -> str:
    """The processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


def interleaved(runners: Mapping[str, Runner], *, rounds: int, seconds: float, clock: str) -> dict[str, list[float]]:
    """Seconds a call of every runner in every round, by name.

    The runners take turns (A B C, A B C, ...), so that what else the machine does hits all of them. A turn repeats the
    call until it lasts about `seconds`; a call that takes longer is made once. `clock` is one of `CLOCKS`.
    """
    now = CLOCKS[clock]
    calls = {name: _calls_in(run, seconds) for name, run in runners.items()}
    taken: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            started = now()
            for _ in range(calls[name]):
                run()
            taken[name].append((now() - started) / calls[name])
    return taken


def _calls_in(run: Runner, seconds: float) -> int:
    """How many calls fit into `seconds`, at least one. Two calls go before: a scripted network compiles in them."""
    run()
    run()
    started = time.thread_time()
    run()
    return max(1, int(seconds / max(time.thread_time() - started, 1e-6)))


def matrix_runner() -> Runner:
    """A float32 product of square matrices, of `MATRIX_FLOP` operations: the limit of dense layers on this machine.

    oneDNN computes it: on AMD processors, MKL, which `torch.mm` calls, does not use AVX-512.
    """
    a, b = (torch.rand(_MATRIX_SIZE, _MATRIX_SIZE) for _ in range(2))
    return lambda: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


def times_faster(ours: list[float], theirs: list[float]) -> str:
    """How many times faster we are than they: the median over rounds, and the least and the most."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f}..{max(ratios):.2f})"


def per_second(samples: int, taken: list[float]) -> str:
    """Samples per second, the median over rounds."""
    return f"{samples / statistics.median(taken):,.0f}"


def print_row(*cells: str) -> None:
    """A row of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def print_header(*cells: str) -> None:
    """The first two rows of a Markdown table."""
    print_row(*cells)
    print("|---" * len(cells) + "|", flush=True)
