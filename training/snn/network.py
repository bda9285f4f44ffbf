"""A spiking network, built from its structure string and scriptable throughout."""

# mypy does not know the types in a ModuleDict, and TorchScript rejects type comments on assignments.
# mypy: disable-error-code="assignment, operator"

import torch
from torch import Tensor, nn

from training.snn.layers import ResidualBlock, SpikingLayer


class SpikingNetwork(nn.Module):
    """A sequence of stages; the last one votes.

    In training, `input_scale` scales the encoder's whole numbers to 0 .. 1; export folds it into the first weights.
    """

    def __init__(self, stages: dict[str, nn.Module], *, classes: int, voters: int, input_scale: float) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.classes = classes
        self.voters = voters
        self.input_scale = input_scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Votes, spikes and synaptic operations for network input `[T, B, C, H, W]`.

        `scores` float32 `[T, B, K]` are the numbers of each class's voting neurons that fired, `spikes` int64
        `[T, B, L]` each spiking layer's spikes, `synops` int64 `[T, B, S]` each synaptic layer's operations.
        """
        scores, spikes, synops, _ = self.run(x, self.initial_state(x.shape[1]))
        return scores, spikes, synops

    @torch.jit.export
    def initial_state(self, batch_size: int) -> list[Tensor]:
        """Membrane potentials at rest, one tensor `[B, ...]` for each layer of neurons."""
        state: list[Tensor] = []
        for stage in self.stages.values():
            state += stage.initial_state(batch_size)
        return state

    @torch.jit.export
    def step(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """One time step: `forward` without its first dimension, and the potentials for the next step."""
        scores, spikes, synops, state = self.run(x.unsqueeze(0), state)
        return scores[0], spikes[0], synops[0], state

    def run(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Any number of time steps, starting from these membrane potentials."""
        if self.input_scale != 1.0:
            x = x * self.input_scale
        spikes: list[Tensor] = []
        synops: list[Tensor] = []
        after: list[Tensor] = []
        first = 0
        for stage in self.stages.values():
            x, emitted, performed, potentials = stage(x, state[first : first + stage.potentials])
            first += stage.potentials
            spikes.append(emitted)
            synops.append(performed)
            after += potentials
        scores = x.unflatten(2, [self.classes, self.voters]).sum(3)
        return scores, torch.cat(spikes, 2), torch.cat(synops, 2), after

    def spiking_layers(self) -> dict[str, SpikingLayer]:
        """The layers with synapses and neurons by name, in the order of the columns of `spikes` and `synops`."""
        layers: dict[str, SpikingLayer] = {}
        for name, stage in self.stages.items():
            if isinstance(stage, SpikingLayer):
                layers[name] = stage
            elif isinstance(stage, ResidualBlock):
                inner = {"first": stage.first, "second": stage.second, "shortcut": stage.shortcut}
                layers |= {f"{name}.{part}": layer for part, layer in inner.items() if layer is not None}
        return layers
