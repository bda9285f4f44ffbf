"""Every fault of an archive and its card, found by the rules by which the service loads a version."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contract.archive_tensors import read_tensors
from contract.card import Card, CardError
from contract.checkpoint import TRIAL_BATCHES, CheckpointError, check_archive, methods_of, output_faults, read_file
from contract.probes import Probe, probes
from contract.reason import reason_of
from event_engine.errors import Unsuitable
from event_engine.plan import make_plan
from training.export.checkpoint import encode, freeze, load_archive

_METHODS = ("forward", "initial_state", "step")  # of a network whose card does not say which encoder it needs
_OUTPUTS = ("scores", "spikes", "synops")


@dataclass
class Findings:
    """What was found: `faults`, for which the service refuses a version or its requests fail, and `notes`."""

    card: Card | None = None
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_checkpoint(path: Path) -> Findings:
    """All faults of the archive at `path`. What cannot be tried because of a fault is left out.

    An archive is code, which runs here: check only what you trust.
    """
    found = Findings()
    try:
        data = read_file(path)
        found.card = check_archive(data)
    except CheckpointError as error:
        found.faults += error.faults
        if not isinstance(error.__cause__, CardError):
            return found  # torch must not see an archive that is damaged or too large
    try:
        module = load_archive(data)
    except Exception as error:  # torch fails on an archive without a network in many ways
        found.faults.append(f"torch cannot load the checkpoint: {reason_of(error)}")
        return found
    missing = [name for name in _wanted(found.card) if not hasattr(module, name)]
    found.faults += [f"the network has no method {name}" for name in missing]
    if found.card is not None:
        found.faults += _trials(module, found.card, missing)
        found.notes += _notes(data, found.card)
    return found


def _wanted(card: Card | None) -> Sequence[str]:
    return _METHODS if card is None else ["forward", *methods_of(card)]


def _notes(data: bytes, card: Card) -> Iterator[str]:
    try:
        make_plan(card, read_tensors(data))
    except (Unsuitable, ValueError) as error:
        yield f"the event engine cannot run the network, so TorchScript will, more slowly: {error}"


@torch.inference_mode()
def _trials(module: torch.jit.ScriptModule, card: Card, missing: list[str]) -> list[str]:
    """The faults of the first trial that has any: blank samples as the service tries them, then all probes."""
    encoder = methods_of(card)[0]
    if encoder in missing or "forward" in missing:
        return []
    samples = probes(card)
    can_step = not {"initial_state", "step"}.intersection(missing)
    if not missing:
        try:
            module = freeze(module, card)
        except Exception as error:  # as above
            return [f"torch cannot freeze the network: {reason_of(error)}"]
    for trial in (*([samples[0]] * size for size in TRIAL_BATCHES), samples):
        if faults := list(_trial(module, card, trial, encoder, can_step=can_step)):
            return faults
    return []


def _trial(
    module: torch.jit.ScriptModule, card: Card, samples: list[Probe], encoder: str, *, can_step: bool
) -> Iterator[str]:
    try:
        called = encoder
        x = encode(module, card, samples)
        expected = [card.timesteps, len(samples), *card.input.shape]
        if list(x.shape) != expected:
            yield f"{encoder} does not give the shape that the card gives: {list(x.shape)} instead of {expected}"
            return
        called = "forward"
        whole = module(x)
        if not _are_outputs(whole):
            yield "forward must return three tensors: scores, spikes, synops"
            return
        yield from output_faults(card, (card.timesteps, len(samples)), *(part.numpy() for part in whole))
        if can_step:
            called = "initial_state and step"
            yield from _step_faults(module, x, whole)
    except Exception as error:  # a network may raise anything
        yield f"the network does not run: {called} raised {reason_of(error)}"


def _step_faults(module: torch.jit.ScriptModule, x: Tensor, whole: tuple[Tensor, ...]) -> Iterator[str]:
    state = module.initial_state(x.shape[1])
    if any(len(potentials) != x.shape[1] for potentials in state):
        yield "initial_state must give tensors [B, ...], with a row for each sample"
        return
    for number, part in enumerate(x):
        *results, state = module.step(part, state)
        if not _are_outputs(results):
            yield "step must return scores, spikes, synops and the new state"
            return
        for name, result, expected in zip(_OUTPUTS, results, whole, strict=True):
            if number < len(expected) and not torch.equal(result, expected[number]):
                yield f"step does not give the {name} of forward, first at time step {number}"
                return


def _are_outputs(results: Any) -> bool:
    return len(results) == len(_OUTPUTS) and all(isinstance(each, Tensor) for each in results)
