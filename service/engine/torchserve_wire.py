"""Samples and activities as bytes: the messages between the service and TorchServe's handler.

Each message is a sequence of arrays in numpy's `.npy` format; nothing is pickled. Images: `pixels` uint8
`[B, C, H, W]`, `seeds` int64 `[B]`. Recordings: `lengths` int64 `[B]`, then the columns `t` int64, `x` and `y` int32,
`p` uint8 of all recordings, concatenated. Results: `scores`, `spikes`, `synops` int64 `[B, T, ...]`, `input` int64
`[B]`.
"""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from contract.card import Card
from contract.errors import BadRequest
from contract.events import check_events
from contract.events.checks import events_array
from service.engine.interface import Activity, EventSample, ImageSample, Sample, activities_of

MEDIA_TYPE = "application/vnd.stl-snn.samples"
CARD_HEADER = "X-SNN-Card"

_COLUMNS = (np.int64, np.int32, np.int32, np.uint8)


def card_digest(card: Card) -> str:
    """A digest that both sides compare, so that no batch runs on another checkpoint of the same name and version."""
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


def pack_samples(samples: Sequence[Sample]) -> bytes:
    """One batch, all images or all recordings, as bytes."""
    images = [sample for sample in samples if isinstance(sample, ImageSample)]
    if images:
        return _pack(np.stack([image.pixels for image in images]), np.array([image.seed for image in images]))
    recordings = [sample.events for sample in samples if isinstance(sample, EventSample)]
    events = np.concatenate(recordings)
    columns = [events[:, index].astype(kind) for index, kind in enumerate(_COLUMNS)]
    return _pack(np.array([len(recording) for recording in recordings]), *columns)


def unpack_samples(data: bytes, card: Card) -> list[Sample]:
    """The samples of a batch for the model of `card`; `BadRequest` or `InvalidEvents` if the model cannot take them."""
    if card.input.kind == "image":
        pixels, seeds = _unpack(data, [np.uint8, np.int64])
        if pixels.shape != (len(seeds), *card.input.shape) or seeds.ndim != 1 or not len(seeds) or seeds.min() < 0:
            raise BadRequest("the batch's images do not have the model's shape, or there is not one seed for each")
        return [ImageSample(image, int(seed)) for image, seed in zip(pixels, seeds, strict=True)]
    lengths, *columns = _unpack(data, [np.int64, *_COLUMNS])
    if lengths.ndim != 1 or not len(lengths) or {column.shape for column in columns} != {(int(lengths.sum()),)}:
        raise BadRequest("the number of events in the batch does not match its recordings' lengths")
    if lengths.min() < 1:
        raise BadRequest("a recording in the batch has no events")
    spec = card.input
    recordings = zip(*(np.split(column, np.cumsum(lengths)[:-1]) for column in columns), strict=True)
    return [
        EventSample(check_events(events_array(*each), spec.width, spec.height, spec.channels)) for each in recordings
    ]


def pack_activities(activities: Sequence[Activity]) -> bytes:
    """The activities of a batch as bytes."""
    return _pack(
        np.stack([each.scores for each in activities]),
        np.stack([each.spikes for each in activities]),
        np.stack([each.synops for each in activities]),
        np.array([each.input for each in activities]),
    )


def unpack_activities(data: bytes, card: Card, rows: int) -> list[Activity]:
    """The activities of `rows` samples; `BadRequest` for arrays whose shapes do not match `card`."""
    scores, spikes, synops, fed = _unpack(data, [np.int64] * 4)
    widths = (len(card.labels), len(card.spiking_layers), len(card.synaptic_layers))
    shapes = [(rows, card.timesteps, width) for width in widths] + [(rows,)]
    if [result.shape for result in (scores, spikes, synops, fed)] != shapes:
        raise BadRequest("the shapes of the batch's results do not match the card")
    return activities_of(scores, spikes, synops, fed.tolist())


def _pack(*arrays: NDArray[Any]) -> bytes:
    buffer = BytesIO()
    for array in arrays:
        npy.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _unpack(data: bytes, kinds: Sequence[type[np.generic]]) -> list[NDArray[Any]]:
    buffer = BytesIO(data)
    try:
        arrays = [npy.read_array(buffer, allow_pickle=False) for _ in kinds]
    except Exception as error:  # numpy fails on broken headers in many ways
        raise BadRequest("the batch is truncated or is not a batch") from error
    if any(array.dtype != kind for array, kind in zip(arrays, kinds, strict=True)) or buffer.read(1):
        raise BadRequest("the batch's arrays have the wrong types, or there are too many of them")
    return arrays
