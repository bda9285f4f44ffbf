"""The reference of a published version, measured again on the data that it was trained with."""

from pathlib import Path

from contract.card import Card
from contract.reference import Reference, write_reference
from training.calibrate import load_calibration_part
from training.errors import ConfigError
from training.export.checkpoint import load_scripted
from training.export.reference import reference_of


def measure_reference(card: Card, checkpoint: Path, data_dir: Path | None) -> Reference:
    """Measure the reference of a version and write it beside its checkpoint.

    Raises `ConfigError` where the data does not fit the model, or the checkpoint does not load.
    """
    samples, is_held_out = load_calibration_part(card, data_dir)
    try:
        module = load_scripted(checkpoint)
    except RuntimeError as error:
        raise ConfigError("torch cannot load the checkpoint") from error
    found = reference_of(module, samples, card, "validation" if is_held_out else "train")
    write_reference(checkpoint, found)
    return found
