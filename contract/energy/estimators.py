"""The estimators by name, and what they say about one inference, side by side."""

from collections.abc import Sequence

from contract.card import Card
from contract.energy.activity import matched_bits
from contract.energy.bodies import Estimate, Range, nanojoules
from contract.energy.constants import FLOAT32_ADD_PJ, FLOAT32_MULTIPLY_PJ, INT8_ADD_PJ, INT8_MULTIPLY_PJ, scaled_mac_pj
from contract.energy.memory_lemaire import NAME as LEMAIRE
from contract.energy.memory_lemaire import estimate_lemaire
from contract.energy.memory_yan import NAME as YAN
from contract.energy.memory_yan import estimate_yan
from contract.energy.operations import operations_nj
from contract.energy.profiles import Profile
from contract.energy.work import Work, idle_work_of, work_of

OPERATIONS = "operations"
ESTIMATORS = (OPERATIONS, LEMAIRE, YAN)


def estimates(names: Sequence[str], work: Work, profile: Profile, idle: Work | None = None) -> list[Estimate]:
    """The estimates of `names`, in the order of `ESTIMATORS`.

    `profile` is that of `operations`; the others have their own constants. `idle` is the work of a blank input.
    """
    made = {
        OPERATIONS: lambda: estimate_operations(work, profile, idle),
        LEMAIRE: lambda: estimate_lemaire(work, idle),
        YAN: lambda: estimate_yan(work, idle),
    }
    return [made[name]() for name in ESTIMATORS if name in names]


def estimates_of(
    card: Card,
    synops: Sequence[float],
    spikes: Sequence[float],
    names: Sequence[str],
    profile: Profile,
    timesteps: int | None = None,
) -> list[Estimate]:
    """The same from counts, as `work_of` takes them, with the cost of a blank input if all steps of the card ran.

    Raises `StructureError` as `work_of` does.
    """
    idle = idle_work_of(card) if timesteps in (None, card.timesteps) else None
    return estimates(names, work_of(card, synops, spikes, timesteps), profile, idle)


def estimate_operations(work: Work, profile: Profile, idle: Work | None = None) -> Estimate:
    """`operations` as an estimate beside the others, with the work of neurons that it leaves out."""
    accumulates = operations_nj(work.accumulates, 0, profile)
    macs = operations_nj(0, work.multiply_accumulates, profile)
    found: Estimate = {
        "estimator": OPERATIONS,
        "profile": profile.name,
        "estimate_nj": operations_nj(work.accumulates, work.multiply_accumulates, profile),
        "breakdown_nj": {"accumulates": accumulates, "multiply_accumulates": macs},
        "left_out_nj": {
            "bias": operations_nj(work.bias_additions, 0, profile),
            "leak": operations_nj(0, work.membrane_updates, profile),
            "comparison": operations_nj(work.membrane_updates, 0, profile),
        },
        "conventional": [],
        "assumptions": [
            f"{profile.ac_pj} pJ for an accumulate, {profile.mac_pj} pJ for a multiply-accumulate",
            "the arithmetic of synapses alone: no memory, which often costs more, no neurons, routing or static power",
            "weights of zero are charged; an input of zero is not",
            "conventional networks at 45 nm whatever the profile: 32-bit float, 8-bit integer, and the matched bits by "
            "3.7*(b/32)^2 + 0.9*(b/32) pJ; every synapse once",
        ],
    }
    bits = matched_bits(work.timesteps)
    fewest, most = (sum(bound) for bound in zip(*work.conventional_macs(), strict=True))
    matched_pj = scaled_mac_pj(bits)
    found["conventional"] = [
        {
            "network": "dense-32-bit",
            "bits": 32,
            "estimate_nj": nanojoules(work.synapses * (FLOAT32_ADD_PJ + FLOAT32_MULTIPLY_PJ)),
        },
        {
            "network": "dense-8-bit",
            "bits": 8,
            "estimate_nj": nanojoules(work.synapses * (INT8_ADD_PJ + INT8_MULTIPLY_PJ)),
        },
        {
            "network": "quantized-matched",
            "bits": bits,
            "estimate_nj": nanojoules(work.synapses * matched_pj),
            "zeros_skipped_nj": Range(low_nj=nanojoules(fewest * matched_pj), high_nj=nanojoules(most * matched_pj)),
        },
    ]
    if work.direct:
        once = work.first_layer_once()
        found["first_layer_once_nj"] = operations_nj(once.accumulates, once.multiply_accumulates, profile)
    if idle is not None:
        found["idle_nj"] = operations_nj(idle.accumulates, idle.multiply_accumulates, profile)
    return found
