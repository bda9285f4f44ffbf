"""Synaptic activity, and the activity at which a spiking network stops to be cheaper than a quantized one."""

from math import ceil, log2

from contract.card import Card
from contract.energy.constants import WEIGHT_BITS


def synaptic_activity(card: Card, accumulates: float, timesteps: int) -> float | None:
    """AC / (M * T): the share of synapses, of all that spikes can reach, that a spike used at a time step.

    M are the synapses of the layers whose input is spikes; None if there are none.
    """
    reached = sum(layer.dense_macs for layer in card.layers if layer.operation == "ac")
    return accumulates / (reached * timesteps) if reached else None


def matched_bits(timesteps: int) -> int:
    """Bits of an activation that holds as many levels as a neuron's spike count over `timesteps` steps."""
    return ceil(log2(timesteps + 1))


def crossover_activity(timesteps: int, weight_bits: int = WEIGHT_BITS) -> float:
    """The activity below which fetching weights costs less than in the quantized network of matched bits.

    b / (b_w * T): the limit of the crossover of Yan et al. where weights are fetched for each operation and their
    fetches outweigh the rest. The spiking network fetches `weight_bits` for each accumulate, the quantized one its b
    bits once for each synapse.
    """
    return matched_bits(timesteps) / (weight_bits * timesteps)
