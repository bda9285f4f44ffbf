"""The power of a device while networks run, from its energy counter over windows of seconds.

A counter cannot tell the energy of one batch: NVML's moves about ten times a second, and a batch takes milliseconds. So
a thread reads it every second, and a batch is given the power of the last window times its seconds.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from service.telemetry.energy_meter import POWERCAP, EnergyMeter, energy_meter

TICK_S = 1.0
MIN_WINDOW_S, MAX_WINDOW_S = 2.0, 10.0
MIN_BUSY_S = 1.0  # in a window; with less, the steps of the counter outweigh what networks used
FULLY_BUSY = 0.9  # share of a window from which on idle power no longer matters

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Power:
    """Watts of a device while networks run, over the last `window_s` seconds.

    `busy_w` is everything the device draws while it is busy, with its idle power; `idle_w` is what it draws without
    work, None as long as it has not rested for a window; `source` is the counter.
    """

    busy_w: float
    idle_w: float | None
    window_s: float
    source: str


class _Reading(NamedTuple):
    time: float
    joules: float
    busy_s: float


class PowerWindow:
    """Reads a meter every second from `start` to `stop`, and knows how long the device was busy meanwhile.

    `power` is None until a window is full: `MIN_WINDOW_S` long, with `MIN_BUSY_S` of work, and a known idle power
    unless the device was busy all the time.
    """

    def __init__(self, meter: EnergyMeter) -> None:
        self.power: Power | None = None
        self._meter = meter
        self._readings: deque[_Reading] = deque()
        self._idle_w: float | None = None
        self._busy_s = 0.0
        self._busy_since: float | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="power", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stopped.set()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Around work on the device, of one thread."""
        with self._lock:
            self._busy_since = perf_counter()
        try:
            yield
        finally:
            now = perf_counter()
            with self._lock:
                self.add_busy(now - self._busy_since)
                self._busy_since = None

    def add_busy(self, seconds: float) -> None:
        """Count work that has ended."""
        self._busy_s += seconds

    def tick(self, now: float) -> None:
        """Read the counter at `now` (`perf_counter`) and set `power`."""
        joules = self._meter.read()
        with self._lock:
            busy_s = self._busy_s + (now - self._busy_since if self._busy_since is not None else 0.0)
        if joules is None or (self._readings and joules < self._readings[-1].joules):
            self._readings.clear()  # the counter was lost, or began anew
            self.power = None
            return
        self._readings.append(_Reading(now, joules, busy_s))
        while now - self._readings[0].time > MAX_WINDOW_S + TICK_S / 2:
            self._readings.popleft()
        self._note_idle()
        self.power = self._measure()

    def _note_idle(self) -> None:
        """Learn the idle power if the device has rested for a window; its first second belongs to the work before."""
        last = self._readings[-1]
        resting = [each for each in self._readings if each.busy_s == last.busy_s][1:]
        if resting and last.time - resting[0].time >= MIN_WINDOW_S:
            self._idle_w = (last.joules - resting[0].joules) / (last.time - resting[0].time)

    def _measure(self) -> Power | None:
        first, last = self._readings[0], self._readings[-1]
        window_s, busy_s = last.time - first.time, last.busy_s - first.busy_s
        if window_s < MIN_WINDOW_S or busy_s < MIN_BUSY_S:
            return None
        joules = last.joules - first.joules
        if busy_s < FULLY_BUSY * window_s:
            if self._idle_w is None:
                return None
            joules -= self._idle_w * (window_s - busy_s)
        return Power(joules / busy_s, self._idle_w, window_s, self._meter.source) if joules > 0 else None

    def _work(self) -> None:
        try:
            while not self._stopped.wait(TICK_S):
                self.tick(perf_counter())
        except Exception:
            self.power = None
            log.exception("energy is no longer measured")


def power_window(device: str, powercap: Path = POWERCAP) -> PowerWindow | None:
    """The power of `device`, such as `cpu` or `cuda:0`, not started yet; None if no counter can be read."""
    meter = energy_meter(device, powercap)
    return None if meter is None else PowerWindow(meter)
