"""A checkpoint's inference form as `evaluate` runs it: by the event engine where that gives TorchScript's numbers."""

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contract.archive_tensors import read_tensors
from contract.card import Card
from contract.checkpoint import CheckpointError, read_archive
from contract.probes import probes
from event_engine.errors import Unsuitable
from event_engine.network import Counts, EventNetwork
from training.data import Bins, Images, Samples
from training.data.bins import network_input
from training.errors import ConfigError
from training.export.checkpoint import load_archive, run_probes

log = logging.getLogger(__name__)


class EventForm:
    """The network of an archive in the event engine, for batches of a data set."""

    def __init__(self, network: EventNetwork) -> None:
        self._network = network

    def run(self, inputs: Tensor, samples: Samples, rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Scores `[T, B, K]`, spikes and synaptic operations `[T, B, L]` of a batch of `rows` of `samples`."""
        threads = torch.get_num_threads()
        if isinstance(samples, Images):
            counts = self._network.run_images(inputs.numpy(), np.full(rows, seed), threads=threads)
        elif isinstance(samples, Bins):
            counts = self._network.forward(network_input(inputs).numpy(), threads=threads)
        else:
            counts = self._network.run_events(_recordings(inputs.numpy(), rows), threads=threads)
        scores, spikes, synops = (torch.from_numpy(each).transpose(0, 1) for each in counts[:3])
        return scores.float(), spikes, synops


Form = torch.nn.Module | EventForm
"""What `evaluate` can run."""


def load_fastest(checkpoint: Path) -> Form:
    """The checkpoint in the event engine, or its scripted module if the engine cannot run it exactly.

    Both run the probes first, and every number is compared. Raises `ConfigError` for a checkpoint that torch cannot
    load.
    """
    try:
        data, card = read_archive(checkpoint)
        module = load_archive(data)
    except (CheckpointError, RuntimeError) as error:
        raise ConfigError("torch cannot load the checkpoint") from error
    try:
        network = EventNetwork(card, read_tensors(data))
    except (Unsuitable, ValueError) as error:
        log.info("TorchScript runs the checkpoint, not the event engine: %s", error)
        return module
    if not _is_equal(network, module, card):
        log.error("the event engine is wrong for the checkpoint; TorchScript runs it")
        return module
    return EventForm(network)


def _is_equal(network: EventNetwork, module: torch.jit.ScriptModule, card: Card) -> bool:
    samples = probes(card)
    found: Counts
    if card.input.kind == "image":
        found = network.run_images(np.stack(samples).astype(np.uint8), np.arange(len(samples)))
    else:
        found = network.run_events([events.astype(np.int64) for events in samples])
    return all(map(np.array_equal, found[:4], run_probes(module, card, samples)))


def _recordings(events: NDArray[np.int64], rows: int) -> list[NDArray[np.int64]]:
    """The recordings of a batch of events `[N, 5]`, whose first column is the sample."""
    ends = np.searchsorted(events[:, 0], np.arange(1, rows))
    return np.split(np.ascontiguousarray(events[:, 1:]), ends)
