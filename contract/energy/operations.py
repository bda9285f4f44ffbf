"""`operations`: the arithmetic of synapses alone, the estimate in every response.

`picojoules = accumulates * ac_pj + multiply_accumulates * mac_pj`. The counts are exact: each synaptic layer counts, at
its own input, the operations it performed over all time steps, so neither a firing rate nor the number of time steps
enters again. The estimate is not a measurement. It leaves out memory traffic (often more than the arithmetic), the work
of neurons, spike routing, input encoding, static power and cooling.
"""

from collections.abc import Sequence
from typing import Annotated, NotRequired

from pydantic import Field, NonNegativeInt
from typing_extensions import TypedDict  # pydantic accepts the standard library's from Python 3.12 on

from contract.card import Card
from contract.energy.activity import crossover_activity, synaptic_activity
from contract.energy.estimate import Estimate
from contract.energy.profiles import Profile

# Typed dictionaries, because predictions contain them: they need no validation and become JSON twice as fast as models.


class Measurement(TypedDict):
    """The window behind a measured energy: the counter read, its seconds, and the power of the device at rest.

    `idle_w` is part of the measured energy, for the seconds of the batch; null as long as it is unknown.
    """

    source: str
    window_s: float
    idle_w: float | None


class LayerEnergy(TypedDict):
    """Operations of one synaptic layer and their estimated energy."""

    name: str
    accumulates: NonNegativeInt
    multiply_accumulates: NonNegativeInt
    estimate_nj: float


class Energy(TypedDict):
    """Counted operations and their energy in the named profile: an estimate of the arithmetic alone.

    `ann_equivalent_nj` is the same structure as a conventional network; `ratio` is the estimate divided by it, null for
    a card without dense operations. `synaptic_activity` is the share of synapses that a spike used at a time step, null
    for a network without such synapses; at about `crossover_activity` a quantized conventional network costs as much.
    `measured_mj` is the input's share of the energy that the hardware measured for its batch, null if it measured none.
    """

    profile: str
    estimate_nj: float
    ann_equivalent_nj: float
    ratio: float | None
    accumulates: NonNegativeInt
    multiply_accumulates: NonNegativeInt
    layers: list[LayerEnergy]
    synaptic_activity: float | None
    crossover_activity: float
    measured_mj: float | None
    measurement: NotRequired[
        Annotated[Measurement, Field(description="Where `measured_mj` comes from, if there is any.")]
    ]
    estimates: NotRequired[Annotated[list[Estimate], Field(description="With `energy`: its estimators, side by side.")]]


def operations_nj(accumulates: float, multiply_accumulates: float, profile: Profile) -> float:
    """Cost of counted operations in nanojoules, to the attojoule."""
    return round((accumulates * profile.ac_pj + multiply_accumulates * profile.mac_pj) / 1000, 9)


def ann_equivalent_nj(card: Card, profile: Profile) -> float:
    """Cost in nanojoules of one pass of a conventional network of the same structure.

    Each synapse multiplies and accumulates once, whatever the spiking network's number of time steps.
    """
    return round(sum(layer.dense_macs for layer in card.layers) * profile.ann_mac_pj / 1000, 9)


def estimate(
    card: Card,
    synops: Sequence[int],
    profile: Profile,
    measured_mj: float | None = None,
    *,
    timesteps: int | None = None,
) -> Energy:
    """Estimate one inference from its synaptic operations; `measured_mj` is passed on.

    `synops`: operations of each synaptic layer over all time steps, in the order of `card.synaptic_layers`. The
    card says whether they are accumulates or multiply-accumulates. `timesteps`: steps that ran, by default the card's.
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
    steps = timesteps or card.timesteps
    return {
        "profile": profile.name,
        "estimate_nj": spiking,
        "ann_equivalent_nj": conventional,
        "ratio": spiking / conventional if conventional else None,
        "accumulates": accumulates,
        "multiply_accumulates": macs,
        "layers": layers,
        "synaptic_activity": synaptic_activity(card, accumulates, steps),
        "crossover_activity": crossover_activity(steps),
        "measured_mj": measured_mj,
    }
