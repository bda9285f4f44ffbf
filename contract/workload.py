"""What a network costs per sample in NeuroBench's terms, and what it costs at rest: a part of the card."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

Share = Annotated[float, Field(ge=0, le=1)]


class LayerWorkload(BaseModel):
    """The synapses of one layer.

    `weights`, of which `zero_weights` are zero. `operations` per sample; `effective_operations` without those at
    weights of zero. `idle_operations` and `idle_spikes` of a blank input over all time steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
    weights: PositiveInt
    zero_weights: NonNegativeInt
    operations: NonNegativeFloat
    effective_operations: NonNegativeFloat
    idle_operations: NonNegativeInt
    idle_spikes: NonNegativeInt


class Workload(BaseModel):
    """Measurements of the inference form on `samples` of the data set, per sample, under NeuroBench's names.

    `footprint`: bytes of weights, biases and thresholds in 32 bits. `connection_sparsity`: share of weights that are
    zero. `activation_sparsity`: share of neurons and time steps without a spike. `effective_acs` and `effective_macs`:
    operations at weights that are not zero. `dense`: operations if every input were active at every step.
    `membrane_updates`: one for each neuron and time step.

    `synaptic_activity` and `crossover_activity` are those of `contract.energy`; weights of zero are counted there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: PositiveInt
    footprint: NonNegativeInt
    connection_sparsity: Share
    activation_sparsity: Share
    effective_acs: NonNegativeFloat
    effective_macs: NonNegativeFloat
    dense: NonNegativeInt
    membrane_updates: NonNegativeInt
    synaptic_activity: Share | None
    crossover_activity: Share
    layers: tuple[LayerWorkload, ...]
