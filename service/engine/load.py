"""From a checkpoint to the engine that runs it: the event engine where it is exact, else TorchScript."""

import logging
from pathlib import Path
from typing import Literal

import torch

from contract.card import Card
from contract.checkpoint import CheckpointError
from event_engine.errors import Unsuitable
from event_engine.network import EventNetwork
from service.engine.event import EventEngine
from service.engine.interface import Choice, Engine
from service.engine.probes import probes, unlike
from service.engine.torchscript import TorchScriptEngine, load_archive

Preference = Literal["auto", "event", "torchscript"]

log = logging.getLogger(__name__)


def load_engine(path: Path, device: torch.device, preference: Preference = "auto") -> Engine:
    """Load the archive at `path`, ready to run on `device`, or raise `CheckpointError`.

    `auto` takes the event engine where it gives the numbers of TorchScript, which is tried at every load; `event` takes
    nothing else; `torchscript` never takes it.
    """
    card, module = load_archive(path, device)
    network: EventNetwork | None = None
    reason = "SNN_ENGINE is torchscript"
    if preference != "torchscript":
        try:
            network = _event_network(card, module, device)
        except Unsuitable as error:
            reason = str(error)
    reference = TorchScriptEngine.freeze(card, module, device)
    if network is not None:
        engine = EventEngine(card, network)
        if (difference := _compare(engine, reference)) is None:
            return engine
        reason = f"its {difference} differ from those of TorchScript"
        log.error("the event engine is wrong for %s: %s", _label(path), reason)
    if preference == "event":
        raise CheckpointError(f"SNN_ENGINE is event, and the event engine cannot run it: {reason}")
    reference.choice = Choice("torchscript", reason)
    log.info("TorchScript runs %s, not the event engine: %s", _label(path), reason)
    reference.warm_up()
    return reference


def _event_network(card: Card, module: torch.jit.ScriptModule, device: torch.device) -> EventNetwork:
    if device.type != "cpu":
        raise Unsuitable("the event engine runs on the CPU alone")
    try:
        return EventNetwork(card, {name: tensor.numpy() for name, tensor in module.state_dict().items()})
    except (ValueError, TypeError) as error:  # refused by the library, or a tensor without a type in numpy
        raise Unsuitable(str(error)) from error


def _compare(engine: EventEngine, reference: TorchScriptEngine) -> str | None:
    """Which numbers the engine gives unlike TorchScript, or None; `CheckpointError` if TorchScript cannot run it."""
    samples = probes(engine.card)
    expected = reference.try_out(samples)
    return unlike(engine.run(samples), expected)


def _label(path: Path) -> str:
    return "/".join(path.parts[-3:-1])
