"""What one inference is estimated to cost in energy: operations counted, times what one of them costs.

`picojoules = accumulates * ac_pj + multiply_accumulates * mac_pj`. The counts are exact: each synaptic layer counts, at
its own input, the operations that it performed over all time steps, so no rate and no number of time steps enters
again. The estimate is not a measurement. It leaves out the memory traffic (which often costs more than the
arithmetic), the membrane updates (see `membrane_updates`), the routing of spikes, the encoding of the input, static
power and the cooling.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from contract.card import Card

_CMOS_45NM_MAC_PJ = 4.6
_HOROWITZ = "M. Horowitz, Computing's energy problem, ISSCC 2014, 45 nm"
_SENECA = "published energy of one synaptic operation, as listed in table 3 of the SENECA paper (Tang et al., 2023)"


@dataclass(frozen=True, slots=True)
class Profile:
    """What one operation costs, in picojoules, on some hardware.

    `ac_pj` an accumulate, `mac_pj` a multiply-accumulate of the spiking network; `ann_mac_pj` a multiply-accumulate of
    the conventional network it is compared with; `source` where the numbers were published.
    """

    name: str
    ac_pj: float
    mac_pj: float
    ann_mac_pj: float
    source: str


def _chip(name: str, synaptic_operation_pj: float) -> Profile:
    """A neuromorphic chip: one published cost for any synaptic operation, against 32-bit arithmetic at 45 nm."""
    return Profile(name, synaptic_operation_pj, synaptic_operation_pj, _CMOS_45NM_MAC_PJ, f"{name}: {_SENECA}")


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("cmos-45nm", 0.9, 4.6, 4.6, f"{_HOROWITZ}: 32-bit float addition 0.9 pJ, multiplication 3.7 pJ"),
        Profile("cmos-45nm-fp16", 0.4, 1.5, 1.5, f"{_HOROWITZ}: 16-bit float addition 0.4 pJ, multiplication 1.1 pJ"),
        Profile("cmos-45nm-int8", 0.03, 0.23, 0.23, f"{_HOROWITZ}: 8-bit integer addition 0.03, multiplication 0.2 pJ"),
        _chip("truenorth", 2.5),
        _chip("tianjic", 1.54),
        _chip("loihi", 23.6),
        _chip("spinnaker", 45.0),
        _chip("spinnaker2", 10.0),
        _chip("odin", 12.7),
        _chip("reckon", 5.3),
        _chip("seneca", 2.8),
    )
}


class ProfileSetting(BaseModel):
    """A profile of one's own: picojoules of an accumulate and of a multiply-accumulate, and where they come from.

    `ann_mac_pj` is for a conventional network that runs on other hardware; by default it is `mac_pj`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ac_pj: PositiveFloat
    mac_pj: PositiveFloat
    ann_mac_pj: PositiveFloat | None = None
    source: str = Field(min_length=1)


def profiles_with(extra: Mapping[str, ProfileSetting]) -> dict[str, Profile]:
    """The built-in profiles and those of the settings; one of the same name replaces the built-in one."""
    own = {
        name: Profile(name, given.ac_pj, given.mac_pj, given.ann_mac_pj or given.mac_pj, given.source)
        for name, given in extra.items()
    }
    return PROFILES | own


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """One synaptic layer's operations and what they cost, in nanojoules."""

    name: str
    accumulates: int
    multiply_accumulates: int
    estimate_nj: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The whole network's operations and cost, beside the same structure as a conventional network (`ann`).

    `ratio` is the first cost over the second; None for a card that counts no dense multiply-accumulates.
    """

    profile: str
    estimate_nj: float
    ann_equivalent_nj: float
    ratio: float | None
    accumulates: int
    multiply_accumulates: int
    layers: tuple[LayerEstimate, ...]


def operations_nj(accumulates: float, multiply_accumulates: float, profile: Profile) -> float:
    """Cost of counted operations in nanojoules, to the attojoule."""
    return round((accumulates * profile.ac_pj + multiply_accumulates * profile.mac_pj) / 1000, 9)


def ann_equivalent_nj(card: Card, profile: Profile) -> float:
    """Cost in nanojoules of one pass of a conventional network of the same structure.

    Every synapse multiplies and accumulates once, whatever the number of time steps of the spiking network.
    """
    return round(sum(layer.dense_macs for layer in card.layers) * profile.ann_mac_pj / 1000, 9)


def membrane_updates(card: Card) -> int:
    """Membrane potentials updated in one inference: every neuron at every time step. No part of the estimate."""
    return card.neurons * card.timesteps


def estimate(card: Card, synops: NDArray[np.int64], profile: Profile) -> Estimate:
    """Estimate one inference from its synaptic operations.

    `synops` `[S]`: operations of each synaptic layer over all time steps, in the order of `card.synaptic_layers`; the
    card says which are accumulates and which multiply-accumulates.
    """
    layers = []
    for layer, counted in zip(card.synaptic_layers, synops.tolist(), strict=True):
        accumulates, macs = (counted, 0) if layer.operation == "ac" else (0, counted)
        layers.append(LayerEstimate(layer.name, accumulates, macs, operations_nj(accumulates, macs, profile)))
    accumulates = sum(layer.accumulates for layer in layers)
    macs = sum(layer.multiply_accumulates for layer in layers)
    spiking = operations_nj(accumulates, macs, profile)
    conventional = ann_equivalent_nj(card, profile)
    ratio = spiking / conventional if conventional else None
    return Estimate(profile.name, spiking, conventional, ratio, accumulates, macs, tuple(layers))
