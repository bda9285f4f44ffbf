"""Every constant of the energy estimates with its source, in one table."""

from typing import NamedTuple

HOROWITZ = "M. Horowitz, Computing's energy problem, ISSCC 2014, 45 nm"
LEMAIRE = "Lemaire et al., An analytical estimation of spiking neural networks energy efficiency, ICONIP 2022, 45 nm"
YAN = "Yan, Bai, Tang, Wong, Reconsidering the energy efficiency of spiking neural networks, arXiv 2409.08290, 22 nm"
NEUROMC = "memory table of NeuroMC in SpikingJelly 2.0, 32 nm"
SENECA = "published energy of one synaptic operation, as listed in table 3 of the SENECA paper (Tang et al., 2023)"
EXPORT = "the grid of exported networks, docs/checkpoint.md"


class Constant(NamedTuple):
    """A number with its unit and the publication, or the property of this project, that it comes from."""

    name: str
    value: float
    unit: str
    source: str


CONSTANTS: dict[str, Constant] = {}


def _constant(name: str, value: float, unit: str, source: str) -> float:
    CONSTANTS[name] = Constant(name, value, unit, source)
    return value


FLOAT32_ADD_PJ = _constant("float32_add", 0.9, "pJ", HOROWITZ)
FLOAT32_MULTIPLY_PJ = _constant("float32_multiply", 3.7, "pJ", HOROWITZ)
FLOAT16_ADD_PJ = _constant("float16_add", 0.4, "pJ", HOROWITZ)
FLOAT16_MULTIPLY_PJ = _constant("float16_multiply", 1.1, "pJ", HOROWITZ)
INT8_ADD_PJ = _constant("int8_add", 0.03, "pJ", HOROWITZ)
INT8_MULTIPLY_PJ = _constant("int8_multiply", 0.2, "pJ", HOROWITZ)

# memory-lemaire: 32-bit integers, and the cost of one byte by the size of the memory it is in
INT32_ADD_PJ = _constant("int32_add", 0.1, "pJ", f"{LEMAIRE}, after Horowitz")
INT32_MULTIPLY_PJ = _constant("int32_multiply", 3.1, "pJ", f"{LEMAIRE}, after Horowitz")
MEMORY_8_KIB_PJ = _constant("memory_8_kib", 2.5, "pJ per byte", f"{LEMAIRE}: 10 pJ for 32 bits")
MEMORY_32_KIB_PJ = _constant("memory_32_kib", 5.0, "pJ per byte", f"{LEMAIRE}: 20 pJ for 32 bits")
MEMORY_1_MIB_PJ = _constant("memory_1_mib", 25.0, "pJ per byte", f"{LEMAIRE}: 100 pJ for 32 bits")
FIFO_MESSAGES = _constant("fifo_messages", 1000, "spikes", LEMAIRE)

# memory-yan
ACCUMULATE_PJ = _constant("accumulate", 0.05448, "pJ", YAN)
COMPARE_PJ = _constant("compare", 0.05448, "pJ", YAN)
SUBTRACT_PJ = _constant("subtract", 0.05448, "pJ", YAN)
STATE_PJ_PER_BIT = _constant("state", 0.25, "pJ per bit", YAN)
REGISTER_PJ_PER_BIT = _constant("weight_in_register", 0.14416 / 7.1 * 2 / 16, "pJ per bit", f"{NEUROMC}: 0.0406 pJ")
SRAM_PJ_PER_BIT = _constant("weight_in_sram", 5.302477904 / 16, "pJ per bit", f"{NEUROMC}: 5.30 pJ for 16 bits")
DRAM_PJ_PER_BIT = _constant("weight_in_dram", 1300 / 64, "pJ per bit", f"{NEUROMC} and Yan: 1,300 pJ for 64 bits")

WEIGHT_BITS = int(_constant("weight_bits", 11, "bits", f"{EXPORT}: 10 bits and a sign"))
POTENTIAL_BITS = int(_constant("potential_bits", 24, "bits", f"{EXPORT}: sums are below 2^24 steps"))

SYNAPTIC_OPERATION_PJ = {
    name: _constant(name, value, "pJ", SENECA)
    for name, value in {
        "truenorth": 2.5,
        "tianjic": 1.54,
        "loihi": 23.6,
        "spinnaker": 45.0,
        "spinnaker2": 10.0,
        "odin": 12.7,
        "reckon": 5.3,
        "seneca": 2.8,
    }.items()
}


def scaled_mac_pj(bits: int) -> float:
    """A multiply-accumulate of `bits` at 45 nm: multiplication falls with the square of the width, addition with it.

    4.6 pJ at 32 bits. Yan et al. scale the 32-bit float numbers in this way.
    """
    share = bits / 32
    return FLOAT32_MULTIPLY_PJ * share**2 + FLOAT32_ADD_PJ * share
