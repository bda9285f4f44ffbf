"""What an inference costs: counted work, and named estimates of its energy. Below HTTP, without torch."""

from contract.energy.activity import crossover_activity, matched_bits, synaptic_activity
from contract.energy.bodies import Energy, Estimate, LayerEnergy, Measurement, Range
from contract.energy.estimators import ESTIMATORS, estimates, estimates_of
from contract.energy.operations import ann_equivalent_nj, estimate, operations_nj
from contract.energy.profiles import PROFILES, Profile, ProfileSetting, profiles_with
from contract.energy.work import Work, idle_work_of, work_of

__all__ = [
    "ESTIMATORS",
    "PROFILES",
    "Energy",
    "Estimate",
    "LayerEnergy",
    "Measurement",
    "Profile",
    "ProfileSetting",
    "Range",
    "Work",
    "ann_equivalent_nj",
    "crossover_activity",
    "estimate",
    "estimates",
    "estimates_of",
    "idle_work_of",
    "matched_bits",
    "operations_nj",
    "profiles_with",
    "synaptic_activity",
    "work_of",
]
