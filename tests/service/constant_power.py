"""A device of constant power, for tests of what is made of it."""

from typing import cast

from service.telemetry.energy_meter import EnergyMeter
from service.telemetry.power_window import Power, PowerWindow


class ConstantPower(PowerWindow):
    """`watts` while networks run, measured from the start; None: a window that never fills."""

    def __init__(self, watts: float | None) -> None:
        super().__init__(cast(EnergyMeter, None))
        self.power = None if watts is None else Power(watts, 0.5, 10.0, "rapl")

    def start(self) -> None:
        """There is nothing to read."""
