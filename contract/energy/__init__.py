"""The estimated energy of one inference: counted operations times the cost of one operation.

`picojoules = accumulates * ac_pj + multiply_accumulates * mac_pj`. The counts are exact: each synaptic layer counts, at
its own input, the operations it performed over all time steps, so neither a firing rate nor the number of time steps
enters again. The estimate is not a measurement. It leaves out memory traffic (often more than the arithmetic), membrane
updates (see `membrane_updates`), spike routing, input encoding, static power and cooling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat
from typing_extensions import TypedDict  # pydantic accepts the standard library's from Python 3.12 on

from contract.card import Card

_CMOS_45NM_MAC_PJ = 4.6
_HOROWITZ = "M. Horowitz, Computing's energy problem, ISSCC 2014, 45 nm"
_SENECA = "published energy of one synaptic operation, as listed in table 3 of the SENECA paper (Tang et al., 2023)"


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


# Typed dictionaries, because predictions contain them: they need no validation and become JSON twice as fast as models.


class LayerEnergy(TypedDict):
    """Operations of one synaptic layer and their estimated energy."""

    name: str
    accumulates: NonNegativeInt
    multiply_accumulates: NonNegativeInt
    estimate_nj: float


class Energy(TypedDict):
    """Counted operations and their energy in the named profile: an estimate of the arithmetic alone.

    `ann_equivalent_nj` is the same structure as a conventional network; `ratio` is the estimate divided by it, null for
    a card without dense operations. `measured_mj` is the input's share of the energy that the hardware measured for its
    batch, null if it measured none.
    """

    profile: str
    estimate_nj: float
    ann_equivalent_nj: float
    ratio: float | None
    accumulates: NonNegativeInt
    multiply_accumulates: NonNegativeInt
    layers: list[LayerEnergy]
    measured_mj: float | None


def operations_nj(accumulates: float, multiply_accumulates: float, profile: Profile) -> float:
    """Cost of counted operations in nanojoules, to the attojoule."""
    return round((accumulates * profile.ac_pj + multiply_accumulates * profile.mac_pj) / 1000, 9)


def ann_equivalent_nj(card: Card, profile: Profile) -> float:
    """Cost in nanojoules of one pass of a conventional network of the same structure.

    Each synapse multiplies and accumulates once, whatever the spiking network's number of time steps.
    """
    return round(sum(layer.dense_macs for layer in card.layers) * profile.ann_mac_pj / 1000, 9)


def membrane_updates(card: Card) -> int:
    """Membrane updates in one inference: every neuron at every time step. Not part of the estimate."""
    return card.neurons * card.timesteps


def estimate(card: Card, synops: Sequence[int], profile: Profile, measured_mj: float | None = None) -> Energy:
    """Estimate one inference from its synaptic operations; `measured_mj` is passed on.

    `synops`: operations of each synaptic layer over all time steps, in the order of `card.synaptic_layers`. The
    card says whether they are accumulates or multiply-accumulates.
    """
    layers: list[LayerEnergy] = []
    for layer, count in zip(card.synaptic_layers, synops, strict=True):
        accumulates, macs = (count, 0) if layer.operation == "ac" else (0, count)
        layers.append(
            {
                "name": layer.name,
                "accumulates": accumulates,
                "multiply_accumulates": macs,
                "estimate_nj": operations_nj(accumulates, macs, profile),
            }
        )
    accumulates = sum(layer["accumulates"] for layer in layers)
    macs = sum(layer["multiply_accumulates"] for layer in layers)
    spiking = operations_nj(accumulates, macs, profile)
    conventional = ann_equivalent_nj(card, profile)
    return {
        "profile": profile.name,
        "estimate_nj": spiking,
        "ann_equivalent_nj": conventional,
        "ratio": spiking / conventional if conventional else None,
        "accumulates": accumulates,
        "multiply_accumulates": macs,
        "layers": layers,
        "measured_mj": measured_mj,
    }
