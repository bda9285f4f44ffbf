"""Tiny networks as work, with numbers that can be checked by hand."""

from typing import Any

from contract.energy.work import LayerWork, Work


def layer(name: str, **fields: Any) -> LayerWork:
    """A linear layer of 6 to 4 with a bias, driven by spikes, unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "name": name,
        "spiking": True,
        "operations": 44,
        "spikes": 0,
        "neurons": 4,
        "synapses": 24,
        "weights": 24,
        "inputs": 6,
        "kernel": None,
        "channels": 4,
        "biased": True,
        "constant": False,
        "passes": 3,
    }
    return LayerWork(**values | fields)


LINEAR = Work(
    (layer("fc1"), layer("vote", operations=0, neurons=2, synapses=8, weights=8, inputs=4, channels=2, biased=False)),
    timesteps=3,
    values=6,
)
"""Linear 6 to 4 with a bias, 11 input spikes in three steps, and 4 to 2 without one."""
