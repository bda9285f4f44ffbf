"""`memory-lemaire`: arithmetic, addressing and memory, after Lemaire et al. (2022) as SpikingJelly 2.0 reads them.

Spikes travel through queues of 1,000 messages; each spike fetches the weight of each synapse it reaches, and reads and
writes the potential behind it; each neuron reads and writes its potential once more at each step. A byte costs more the
larger its memory. Two things differ from SpikingJelly: fan-out is exact at padded borders, and the spikes into a
convolution behind pooling follow from its operations and the mean fan-out.
"""

from dataclasses import dataclass
from itertools import pairwise

from contract.energy.activity import matched_bits
from contract.energy.bodies import Conventional, Estimate, Range, nanojoules
from contract.energy.constants import (
    FIFO_MESSAGES,
    INT32_ADD_PJ,
    INT32_MULTIPLY_PJ,
    MEMORY_1_MIB_PJ,
    MEMORY_8_KIB_PJ,
    MEMORY_32_KIB_PJ,
)
from contract.energy.work import LayerWork, Work

NAME = "memory-lemaire"
PROFILE = "cmos-45nm-int32"
_WORD = 4.0  # bytes of a weight, a potential, a spike's message
_POINTS = ((0.0, 0.0), (8 * 1024, MEMORY_8_KIB_PJ), (32 * 1024, MEMORY_32_KIB_PJ), (1024 * 1024, MEMORY_1_MIB_PJ))
_ASSUMPTIONS = [
    "32-bit integers at 45 nm; one SRAM for each kind of data and layer, whose price for a byte grows with its size",
    "a weight is fetched for each operation and a potential read and written for each accumulate: no reuse",
    "a layer whose input is not spikes is charged every synapse at every step, zeros included",
    "leak, bias and reset are counted; comparison, pooling, input encoding, routing, DRAM and static power are not",
    "conventional networks: the same paper's formulas; at b bits words of b bits, additions cost b/32 and "
    "multiplications (b/32)^2 of 32-bit ones",
]


@dataclass(frozen=True, slots=True)
class Parts:
    """Picojoules of the three parts of the model."""

    operations: float
    addressing: float
    memory: float

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.operations + other.operations, self.addressing + other.addressing, self.memory + other.memory)

    @property
    def total(self) -> float:
        """Their sum."""
        return self.operations + self.addressing + self.memory


def byte_pj(capacity: float) -> float:
    """Picojoules of one byte in a memory of `capacity` bytes: linear between the published sizes, constant beyond."""
    for (small, cheap), (large, dear) in pairwise(_POINTS):
        if capacity <= large:
            return cheap + (dear - cheap) * (capacity - small) / (large - small)
    return _POINTS[-1][1]


def spiking_pj(work: Work) -> Parts:
    """The spiking network."""
    total = Parts(0.0, 0.0, 0.0)
    for layer in work.layers:
        total += (_driven if layer.spiking else _clocked)(layer) + _neurons(layer, work.timesteps)
    return total


def _driven(layer: LayerWork) -> Parts:
    """Synapses that work at spikes."""
    queue = FIFO_MESSAGES * _WORD
    multiplications = 0.0 if layer.kernel is None else 2 * layer.events  # to find a spike's first output
    traffic = (
        layer.events * byte_pj(queue)
        + layer.operations * byte_pj(_parameters(layer) * _WORD)
        + 2 * layer.operations * byte_pj(layer.neurons * _WORD)
    )
    return Parts(
        layer.operations * INT32_ADD_PJ,
        layer.operations * INT32_ADD_PJ + multiplications * (INT32_ADD_PJ + INT32_MULTIPLY_PJ),
        traffic * _WORD,
    )


def _clocked(layer: LayerWork) -> Parts:
    """Synapses whose input is not spikes: all of them work at each pass."""
    macs = layer.synapses * layer.passes
    reads = layer.inputs * layer.passes if layer.kernel is None else macs
    traffic = reads * byte_pj(layer.inputs * _WORD) + macs * byte_pj(_parameters(layer) * _WORD)
    return Parts(
        macs * (INT32_ADD_PJ + INT32_MULTIPLY_PJ),
        _dense_addresses(layer) * layer.passes * INT32_ADD_PJ,
        traffic * _WORD,
    )


def _neurons(layer: LayerWork, timesteps: int) -> Parts:
    """Leak, bias, reset and potentials at each step, and the spikes that leave."""
    updates = layer.neurons * timesteps
    biases = updates if layer.biased else 0
    traffic = (
        2 * updates * byte_pj(layer.neurons * _WORD)
        + biases * byte_pj(_parameters(layer) * _WORD)
        + layer.spikes * byte_pj(FIFO_MESSAGES * _WORD)
    )
    arithmetic = (biases + layer.spikes) * INT32_ADD_PJ + updates * (INT32_ADD_PJ + INT32_MULTIPLY_PJ)
    return Parts(arithmetic, 0.0, traffic * _WORD)


def _parameters(layer: LayerWork) -> int:
    """Weights and biases; a convolution has one bias a channel."""
    return layer.weights + (layer.channels if layer.biased else 0)


def _dense_addresses(layer: LayerWork) -> float:
    kernels = 0 if layer.kernel is None else layer.channels * layer.kernel**2
    return layer.inputs + layer.neurons + kernels


def conventional_pj(work: Work, bits: int, macs: list[float] | None = None) -> float:
    """One pass of the conventional network; `macs` of each layer where it skips zeros, by default all synapses."""
    word = bits / 8
    add, multiply = INT32_ADD_PJ * bits / 32, INT32_MULTIPLY_PJ * (bits / 32) ** 2
    total = 0.0
    for layer, performed in zip(work.layers, macs or [each.synapses for each in work.layers], strict=True):
        biases = layer.neurons if layer.biased else 0
        share = performed / layer.synapses
        reads = layer.inputs * share if layer.kernel is None else performed
        traffic = (
            reads * byte_pj(layer.inputs * word)
            + (performed + biases) * byte_pj(_parameters(layer) * word)
            + layer.neurons * byte_pj(layer.neurons * word)
        )
        total += performed * (add + multiply) + (biases + _dense_addresses(layer)) * add + traffic * word
    return total


def _conventional(work: Work) -> list[Conventional]:
    bits = matched_bits(work.timesteps)
    fewest, most = zip(*work.conventional_macs(), strict=True)
    skipped = Range(
        low_nj=nanojoules(conventional_pj(work, bits, list(fewest))),
        high_nj=nanojoules(conventional_pj(work, bits, list(most))),
    )
    plain: list[Conventional] = [
        {"network": name, "bits": width, "estimate_nj": nanojoules(conventional_pj(work, width))}
        for name, width in (("dense-32-bit", 32), ("dense-8-bit", 8))
    ]
    matched: Conventional = {
        "network": "quantized-matched",
        "bits": bits,
        "estimate_nj": nanojoules(conventional_pj(work, bits)),
        "zeros_skipped_nj": skipped,
    }
    return [*plain, matched]


def estimate_lemaire(work: Work, idle: Work | None = None) -> Estimate:
    """The estimate of one inference; `idle` is the work of a blank input."""
    parts = spiking_pj(work)
    found: Estimate = {
        "estimator": NAME,
        "profile": PROFILE,
        "estimate_nj": nanojoules(parts.total),
        "breakdown_nj": {
            "operations": nanojoules(parts.operations),
            "addressing": nanojoules(parts.addressing),
            "memory": nanojoules(parts.memory),
        },
        "left_out_nj": {"comparison": nanojoules(work.membrane_updates * INT32_ADD_PJ)},
        "conventional": _conventional(work),
        "assumptions": _ASSUMPTIONS,
    }
    if work.direct:
        found["first_layer_once_nj"] = nanojoules(spiking_pj(work.first_layer_once()).total)
    if idle is not None:
        found["idle_nj"] = nanojoules(spiking_pj(idle).total)
    return found
