"""Loaded versions of a test's store, and a request's options for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.card import Card
from contract.energy import PROFILES
from contract.settings import Settings
from service.engine.device import CPU
from service.engine.torchscript import TorchScriptEngine
from service.inference.decode import DecodeOptions
from service.inference.options import PredictOptions, ResolvedOptions, resolve
from service.models.version import Loaded, Version


def load_version(root: Path, name: str, number: int = 1) -> Loaded:
    """A version of the store at `root`, on the CPU."""
    engine = TorchScriptEngine.load(root / name / str(number) / "model.pt", CPU)
    return Loaded(Version(name, number, "ready", engine.card, engine), engine)


def options_for(card: Card, **changes: Any) -> ResolvedOptions:
    """The default options for the model `card` describes, with some of their fields changed."""
    return replace(resolve(PredictOptions(), card.name, card, Settings(), PROFILES), **changes)


def decode_options_for(card: Card, **changes: Any) -> DecodeOptions:
    """The part of the options that decoding needs, with some of its fields changed."""
    return replace(options_for(card).decoding, **changes)
