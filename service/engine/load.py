"""From a checkpoint to the engine that runs it: the event engine where it is exact, else TorchScript."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contract.archive_tensors import read_tensors
from contract.card import Card
from contract.checkpoint import CheckpointError, read_archive
from contract.probes import make_record, probes, read_record
from event_engine.errors import Unsuitable
from event_engine.network import EventNetwork
from service.engine.device import Device
from service.engine.event import EventEngine
from service.engine.interface import Activity, Choice, Engine, EventSample, ImageSample, Sample

Preference = Literal["auto", "event", "torchscript"]

log = logging.getLogger(__name__)


def load_engine(path: Path, device: Device, preference: Preference = "auto", threads: int | None = None) -> Engine:
    """Load the archive at `path`, ready to run on `device`, or raise `CheckpointError`.

    `auto` takes the event engine where it gives the numbers of TorchScript, which is tried at every load; `event` takes
    nothing else; `torchscript` never takes it. `threads` run one operation: for None, one of the event engine's, and as
    many as torch would take of TorchScript's.

    torch is not imported where the event engine runs the network and gives the numbers in the record of its probes.
    """
    data, card = read_archive(path)
    found, reason = _event_engine(card, data, device, preference, threads or 1)
    if found is not None and _answers_as_recorded(found, path, data):
        return found
    from service.engine.torchscript import TorchScriptEngine

    reference = TorchScriptEngine.of(data, card, device)
    reference.threads = threads
    if found is not None:
        samples = as_samples(probes(card))
        if (difference := unlike(found.run(samples), reference.try_out(samples))) is None:
            return found
        reason = f"its {difference} differ from those of TorchScript"
        log.error("the event engine is wrong for %s: %s", _label(path), reason)
    if preference == "event":
        raise CheckpointError(f"SNN_ENGINE is event, and the event engine cannot run it: {reason}")
    reference.choice = Choice("torchscript", reason)
    log.info("TorchScript runs %s, not the event engine: %s", _label(path), reason)
    reference.warm_up()
    return reference


def as_samples(found: Sequence[NDArray[np.generic]]) -> list[Sample]:
    """Probes as samples."""
    return [
        ImageSample(probe.astype(np.uint8, copy=False), seed)
        if probe.dtype == np.uint8
        else EventSample(probe.astype(np.int64, copy=False))
        for seed, probe in enumerate(found)
    ]


def unlike(found: Sequence[Activity], expected: Sequence[Activity]) -> str | None:
    """Which numbers differ between two engines, or None."""
    for name in ("scores", "spikes", "synops", "input"):
        pairs = zip(found, expected, strict=True)
        if not all(np.array_equal(getattr(one, name), getattr(other, name)) for one, other in pairs):
            return name
    return None


def _event_engine(
    card: Card, data: bytes, device: Device, preference: Preference, threads: int
) -> tuple[EventEngine | None, str]:
    """The event engine for an archive, or the reason why there is none."""
    if preference == "torchscript":
        return None, "SNN_ENGINE is torchscript"
    if device.type != "cpu":
        return None, "the event engine runs on the CPU alone"
    try:
        return EventEngine(card, EventNetwork(card, read_tensors(data)), threads=threads), ""
    except (Unsuitable, ValueError) as error:  # refused, by Python or by the library, or tensors that cannot be read
        return None, str(error)


def _answers_as_recorded(engine: EventEngine, path: Path, data: bytes) -> bool:
    """Whether the engine gives the numbers that TorchScript gave for this very archive when it was published."""
    record = read_record(path)
    if record is None:
        log.info("%s has no record of its probes; torch is imported to compare the engines", _label(path))
        return False
    samples = probes(engine.card)
    activities = engine.run(as_samples(samples))
    numbers = [np.array([getattr(each, name) for each in activities]) for name in ("scores", "spikes", "synops")]
    return make_record(data, samples, [*numbers, np.array([each.input for each in activities])]) == record


def _label(path: Path) -> str:
    return "/".join(path.parts[-3:-1])
