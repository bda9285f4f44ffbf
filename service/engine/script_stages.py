"""Which neurons of a scripted network fire: its layers are run one after the other, for their spikes.

The archive's methods give counts alone. Its layers are modules of their own, whose outputs are spikes, so the very code
that counts them also shows them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from contract.card import Card
from contract.errors import InvalidParameter

Stage = torch.jit.ScriptModule


def stages_of(module: Stage) -> list[Stage]:
    """The stages of a network that was loaded and not frozen, in their order; none if it is built otherwise."""
    stages = getattr(getattr(module, "network", None), "stages", None)
    return [] if stages is None else list(stages.children())


def fired_neurons(card: Card, stages: Sequence[Stage], x: torch.Tensor) -> NDArray[np.bool_]:
    """Bool `[B, T, N]` for the network's input `[T, B, C, H, W]`; see `Activity.fired`.

    Raises `InvalidParameter` for a network whose stages are not those that its card names.
    """
    try:
        fired = [spikes.flatten(2).transpose(0, 1) for spikes in _spikes(stages, x)]
    except (AttributeError, RuntimeError) as error:
        raise _not_shown() from error
    if [layer.shape[2] for layer in fired] != [layer.neurons for layer in card.spiking_layers]:
        raise _not_shown()
    return torch.cat([layer != 0 for layer in fired], 2).cpu().numpy()


def _spikes(stages: Sequence[Stage], x: torch.Tensor) -> Iterator[torch.Tensor]:
    """The spikes `[T, B, ...]` of each spiking layer, in the order of the columns of the counts."""
    for stage in stages:
        if hasattr(stage, "first"):  # a residual block: a spike of its second layer vetoes the shortcut's
            first = _out(stage.first, x)
            second = _out(stage.second, first)
            yield from (first, second)
            if getattr(stage, "shortcut", None) is not None:
                x = _out(stage.shortcut, x)
                yield x
            x = x * (1 - second)
        else:
            x = _out(stage, x)
            if hasattr(stage, "neurons"):
                yield x


def _out(stage: Stage, x: torch.Tensor) -> torch.Tensor:
    return stage(x, stage.initial_state(x.shape[1]))[0]  # type: ignore[no-any-return]


def _not_shown() -> InvalidParameter:
    return InvalidParameter("the checkpoint does not show its neurons; leave out detail=raster", param="detail")
