"""What an estimator says about one inference: JSON bodies, without the estimators."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic accepts the standard library's from Python 3.12 on


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


def nanojoules(picojoules: float) -> float:
    """To the attojoule."""
    return round(picojoules / 1000, 9)
