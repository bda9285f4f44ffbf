"""JSON bodies: the energy of one inference, and what each estimator says about it."""

from typing import Annotated, NotRequired

from pydantic import Field, NonNegativeInt
from typing_extensions import TypedDict  # pydantic accepts the standard library's from Python 3.12 on

# Typed dictionaries, because predictions contain them: they need no validation and become JSON twice as fast as models.


class Range(TypedDict):
    """An estimate that depends on something unknown, such as the memory that holds the weights."""

    low_nj: float
    high_nj: float


class Conventional(TypedDict):
    """The same structure as a conventional network that runs once, with weights and activations of `bits`.

    `zeros_skipped_nj` is its cost if it skips inputs that are zero, between two bounds: a neuron that never fires
    stands for a zero, and the spikes of one inference come from at least (all at every step) and at most (one each)
    so many neurons.
    """

    network: str
    bits: int
    estimate_nj: float | Range
    zeros_skipped_nj: NotRequired[Range]


class Estimate(TypedDict):
    """The energy of one inference after one estimator. Numbers of different estimators cannot be compared."""

    estimator: str
    profile: str
    estimate_nj: float | Range
    breakdown_nj: NotRequired[Annotated[dict[str, float], Field(description="Parts of the estimate.")]]
    by_memory_nj: NotRequired[
        Annotated[dict[str, float], Field(description="The estimate by the memory that holds the weights.")]
    ]
    crossover_by_memory: NotRequired[
        Annotated[
            dict[str, float | None],
            Field(description="Activity at which the matched network costs as much; null: it is cheaper at any."),
        ]
    ]
    first_layer_once_nj: NotRequired[
        Annotated[
            float | Range,
            Field(description="With direct coding: the estimate if the first layer's currents are computed once."),
        ]
    ]
    idle_nj: NotRequired[
        Annotated[float | Range, Field(description="A blank input, where the card has its counts; part of the total.")]
    ]
    left_out_nj: Annotated[
        dict[str, float], Field(description="Counted work that the estimator's formula leaves out, at its constants.")
    ]
    conventional: list[Conventional]
    assumptions: list[str]


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


def nanojoules(picojoules: float) -> float:
    """To the attojoule."""
    return round(picojoules / 1000, 9)
