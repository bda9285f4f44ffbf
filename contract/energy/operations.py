"""`operations`: the arithmetic of synapses alone, the estimate in every response.

`picojoules = accumulates * ac_pj + multiply_accumulates * mac_pj`. The counts are exact: each synaptic layer counts, at
its own input, the operations it performed over all time steps, so neither a firing rate nor the number of time steps
enters again. The estimate is not a measurement. It leaves out memory traffic (often more than the arithmetic), the work
of neurons, spike routing, input encoding, static power and cooling.
"""

from collections.abc import Sequence

from contract.card import Card
from contract.energy.activity import crossover_activity, synaptic_activity
from contract.energy.bodies import Energy, LayerEnergy
from contract.energy.profiles import Profile


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
