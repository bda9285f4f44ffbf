"""`detail=raster`: which neurons fired at which time step, and what the network was given."""

import numpy as np

from contract.card import Card, EventEncoder
from contract.errors import InvalidParameter
from service.engine.interface import Activity, Engine, EventSample, Sample
from service.inference.bodies import LayerRaster, NetworkInput
from service.inference.condense_events import steps_of


def check_raster(engine: Engine, inputs: int, most: int) -> None:
    """`InvalidParameter` where the engine shows no neurons, or neurons x time steps x inputs are more than `most`.

    Both are known before anything runs.
    """
    if engine.choice.name == "torchserve":
        raise InvalidParameter("detail=raster needs SNN_BACKEND=local: TorchServe answers counts alone", param="detail")
    values = engine.card.neurons * engine.card.timesteps * inputs
    if values > most:
        raise InvalidParameter(
            f"the raster of {inputs} input{'s' * (inputs > 1)} would have {values} neurons x time steps; "
            f"the limit is {most} (SNN_MAX_RASTER_VALUES): send fewer inputs, or leave out detail=raster",
            param="detail",
        )


def raster_of(activity: Activity, card: Card) -> list[LayerRaster]:
    """The neurons that fired, layer by layer and step by step, of an activity that was run with `raster`."""
    assert activity.fired is not None
    layers: list[LayerRaster] = []
    start = 0
    for layer in card.spiking_layers:
        fired = activity.fired[:, start : start + layer.neurons]
        start += layer.neurons
        layers.append(
            {
                "layer": layer.name,
                "neurons": layer.neurons,
                "shape": list(layer.out_shape),
                "steps": [np.flatnonzero(step).tolist() for step in fired],
            }
        )
    return layers


def input_of(sample: Sample, card: Card) -> NetworkInput:
    """What the network was given: the pixels of an image, or the events of a recording by time step."""
    channels, height, width = card.input.shape
    if not isinstance(sample, EventSample):
        return {"shape": card.input.shape, "frames": [sample.pixels.ravel().tolist()]}
    assert isinstance(card.encoder, EventEncoder)
    time, x, y, polarity = sample.events.T
    step = steps_of(time - time[0], card.encoder)
    channel = polarity if channels > 1 else np.zeros_like(polarity)
    cell = ((step * channels + channel) * height + y) * width + x
    counts = np.bincount(cell[step < card.timesteps], minlength=card.timesteps * channels * height * width)
    frames = np.minimum(counts, card.encoder.max_input).reshape(card.timesteps, -1)
    return {"shape": card.input.shape, "frames": frames.tolist()}
