"""`memory-yan`: arithmetic, weights and potentials, after Yan et al. (2024), by the memory that holds the weights.

    E_snn = AC*e_acc + T*N*e_cmp + S*e_sub + (AC + MAC)*b_w*e_w + 2*T*N*b_u*e_s + MAC*e_mac(b_w)
    E_qnn = M*e_mac(b) + 2*N*e_cmp + M*b*e_w + (N_in + N)*b*e_s

The price e_w of a bit of a weight decides. A fetch for every operation is an upper bound, because convolutions reuse
weights, so the estimate is a range: weights in registers, in SRAM, in DRAM, for both networks alike.
"""

from dataclasses import dataclass

from contract.energy.activity import matched_bits
from contract.energy.bodies import Conventional, Estimate, Range, nanojoules
from contract.energy.constants import (
    ACCUMULATE_PJ,
    COMPARE_PJ,
    DRAM_PJ_PER_BIT,
    POTENTIAL_BITS,
    REGISTER_PJ_PER_BIT,
    SRAM_PJ_PER_BIT,
    STATE_PJ_PER_BIT,
    SUBTRACT_PJ,
    WEIGHT_BITS,
    scaled_mac_pj,
)
from contract.energy.work import Work

NAME = "memory-yan"
PROFILE = "cmos-22nm"
WEIGHT_MEMORIES = {"register": REGISTER_PJ_PER_BIT, "sram": SRAM_PJ_PER_BIT, "dram": DRAM_PJ_PER_BIT}


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of a weight and of a membrane potential."""

    weight: int = WEIGHT_BITS
    potential: int = POTENTIAL_BITS


EXPORTED = Widths()


def spiking_pj(work: Work, weight_pj_per_bit: float, widths: Widths = EXPORTED) -> float:
    """The spiking network, each weight fetched for each operation at this price of a bit."""
    return (
        work.accumulates * ACCUMULATE_PJ
        + work.spikes * SUBTRACT_PJ
        + (work.accumulates + work.multiply_accumulates) * widths.weight * weight_pj_per_bit
        + work.multiply_accumulates * scaled_mac_pj(widths.weight)
        + _neurons_pj(work, widths)
    )


def _neurons_pj(work: Work, widths: Widths) -> float:
    return work.membrane_updates * (COMPARE_PJ + 2 * widths.potential * STATE_PJ_PER_BIT)


def conventional_pj(work: Work, bits: int, weight_pj_per_bit: float, macs: float | None = None) -> float:
    """One pass of the quantized network; `macs` where it skips zeros, by default all synapses."""
    performed = work.synapses if macs is None else macs
    return (
        performed * (scaled_mac_pj(bits) + bits * weight_pj_per_bit)
        + 2 * work.neurons * COMPARE_PJ
        + (work.values + work.neurons) * bits * STATE_PJ_PER_BIT
    )


def crossover(work: Work, weight_pj_per_bit: float, widths: Widths = EXPORTED) -> float | None:
    """The synaptic activity at which the spiking network costs what the dense matched one does.

    Accumulates and spikes grow with it, multiply-accumulates and neurons stay. None if the matched network is cheaper
    even without a spike.
    """
    reached = sum(layer.synapses for layer in work.layers if layer.spiking) * work.timesteps
    if not reached:
        return None
    macs = work.multiply_accumulates * (scaled_mac_pj(widths.weight) + widths.weight * weight_pj_per_bit)
    resets = work.spikes / work.accumulates * SUBTRACT_PJ if work.accumulates else 0.0
    each = ACCUMULATE_PJ + widths.weight * weight_pj_per_bit + resets
    rest = conventional_pj(work, matched_bits(work.timesteps), weight_pj_per_bit) - macs - _neurons_pj(work, widths)
    return rest / (reached * each) if rest > 0 else None


def _range(by_memory: dict[str, float]) -> Range:
    return Range(low_nj=min(by_memory.values()), high_nj=max(by_memory.values()))


def _by_memory(work: Work, widths: Widths) -> dict[str, float]:
    return {name: nanojoules(spiking_pj(work, price, widths)) for name, price in WEIGHT_MEMORIES.items()}


def _conventional(work: Work) -> list[Conventional]:
    def dense(bits: int) -> Range:
        return _range({name: nanojoules(conventional_pj(work, bits, price)) for name, price in WEIGHT_MEMORIES.items()})

    bits = matched_bits(work.timesteps)
    fewest, most = (sum(bound) for bound in zip(*work.conventional_macs(), strict=True))
    skipped = Range(
        low_nj=nanojoules(conventional_pj(work, bits, REGISTER_PJ_PER_BIT, fewest)),
        high_nj=nanojoules(conventional_pj(work, bits, DRAM_PJ_PER_BIT, most)),
    )
    return [
        {"network": "dense-32-bit", "bits": 32, "estimate_nj": dense(32)},
        {"network": "dense-8-bit", "bits": 8, "estimate_nj": dense(8)},
        {"network": "quantized-matched", "bits": bits, "estimate_nj": dense(bits), "zeros_skipped_nj": skipped},
    ]


def _assumptions(widths: Widths) -> list[str]:
    return [
        f"22 nm arithmetic; weights of {widths.weight} bits, potentials of {widths.potential} bits",
        "a weight is fetched for each operation: low with all weights in registers, high with all in DRAM; reuse in "
        "convolutions makes it cheaper",
        "a potential is read and written at each step; activations move for 0.25 pJ a bit",
        "bias, leak, pooling, addressing, routing and static power are not in the formula",
        "conventional networks: weights and activations of the same width, every synapse once; the 32-bit one is "
        "32-bit float arithmetic",
    ]


def estimate_yan(work: Work, idle: Work | None = None, widths: Widths = EXPORTED) -> Estimate:
    """The estimate of one inference; `idle` is the work of a blank input."""
    by_memory = _by_memory(work, widths)
    found: Estimate = {
        "estimator": NAME,
        "profile": PROFILE,
        "estimate_nj": _range(by_memory),
        "by_memory_nj": by_memory,
        "crossover_by_memory": {name: crossover(work, price, widths) for name, price in WEIGHT_MEMORIES.items()},
        "left_out_nj": {
            "bias": nanojoules(work.bias_additions * ACCUMULATE_PJ),
            "leak": nanojoules(work.membrane_updates * ACCUMULATE_PJ),
        },
        "conventional": _conventional(work),
        "assumptions": _assumptions(widths),
    }
    if work.direct:
        found["first_layer_once_nj"] = _range(_by_memory(work.first_layer_once(), widths))
    if idle is not None:
        found["idle_nj"] = _range(_by_memory(idle, widths))
    return found
