"""Profiles: the cost of an accumulate and of a multiply-accumulate on some hardware."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from contract.energy.constants import (
    FLOAT16_ADD_PJ,
    FLOAT16_MULTIPLY_PJ,
    FLOAT32_ADD_PJ,
    FLOAT32_MULTIPLY_PJ,
    HOROWITZ,
    INT8_ADD_PJ,
    INT8_MULTIPLY_PJ,
    SENECA,
    SYNAPTIC_OPERATION_PJ,
)


@dataclass(frozen=True, slots=True)
class Profile:
    """The cost of one operation on some hardware, in picojoules.

    `ac_pj` and `mac_pj`: an accumulate and a multiply-accumulate of the spiking network; `ann_mac_pj`: a
    multiply-accumulate of the conventional network it is compared with; `source`: the publication.
    """

    name: str
    ac_pj: float
    mac_pj: float
    ann_mac_pj: float
    source: str


def _cmos(name: str, what: str, add_pj: float, multiply_pj: float) -> Profile:
    mac_pj = round(add_pj + multiply_pj, 9)
    source = f"{HOROWITZ}: {what} addition {add_pj} pJ, multiplication {multiply_pj} pJ"
    return Profile(name, add_pj, mac_pj, mac_pj, source)


def _chip(name: str, synaptic_operation_pj: float) -> Profile:
    """A neuromorphic chip: one published cost for any synaptic operation, against 32-bit arithmetic at 45 nm."""
    ann_mac_pj = round(FLOAT32_ADD_PJ + FLOAT32_MULTIPLY_PJ, 9)
    return Profile(name, synaptic_operation_pj, synaptic_operation_pj, ann_mac_pj, f"{name}: {SENECA}")


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        _cmos("cmos-45nm", "32-bit float", FLOAT32_ADD_PJ, FLOAT32_MULTIPLY_PJ),
        _cmos("cmos-45nm-fp16", "16-bit float", FLOAT16_ADD_PJ, FLOAT16_MULTIPLY_PJ),
        _cmos("cmos-45nm-int8", "8-bit integer", INT8_ADD_PJ, INT8_MULTIPLY_PJ),
        *(_chip(name, cost) for name, cost in SYNAPTIC_OPERATION_PJ.items()),
    )
}


class ProfileSetting(BaseModel):
    """A profile in the settings: picojoules of an accumulate and of a multiply-accumulate, and their source.

    Set `ann_mac_pj` if the conventional network runs on other hardware; the default is `mac_pj`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ac_pj: PositiveFloat
    mac_pj: PositiveFloat
    ann_mac_pj: PositiveFloat | None = None
    source: str = Field(min_length=1)


def profiles_with(extra: Mapping[str, ProfileSetting]) -> dict[str, Profile]:
    """The built-in profiles and those in the settings, which replace built-in ones of the same name."""
    own = {
        name: Profile(name, each.ac_pj, each.mac_pj, each.ann_mac_pj or each.mac_pj, each.source)
        for name, each in extra.items()
    }
    return PROFILES | own
