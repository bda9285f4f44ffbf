"""The rules that a checkpoint must obey: a complete archive, and a network that counts as its card says.

Both sides apply them with these functions, so they agree on which versions work. torch is not needed here: the archive
is checked before torch sees a byte of it, and the outputs are checked as arrays.
"""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.card import Card, CardError, card_of
from contract.errors import ModelError

TRIAL_BATCHES = (1, 2)  # a network is tried with blank samples before it is used


class CheckpointError(Exception):
    """A checkpoint that cannot be loaded; the message gives the first of its `faults`, without a path."""

    def __init__(self, *faults: str) -> None:
        super().__init__(faults[0])
        self.faults = faults


# Tensors are stored as they are; only code, debug information and small tables are compressed.
_MAX_PACKED_BYTES = 64_000_000
_MAX_BYTES = 2**32


def read_archive(path: Path) -> tuple[bytes, Card]:
    """The archive at `path` and its card; `CheckpointError` for a file that is missing, damaged or too large.

    torch does not compare checksums, so they are checked here. The file is read once: the bytes that were checked are
    the bytes to load, even if the file changes meanwhile.
    """
    data = read_file(path)
    return data, check_archive(data)


def read_file(path: Path) -> bytes:
    """The bytes of a checkpoint; `CheckpointError` for a file that is missing or too large."""
    try:
        if not path.is_file():  # reading from a pipe would never end
            raise CheckpointError("there is no model.pt in the version folder")
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"the checkpoint has more than {_MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"the checkpoint cannot be read: {error.strerror}") from error


def check_archive(data: bytes) -> Card:
    """The card of an archive whose members are whole, unchanged and of a reasonable size; otherwise `CheckpointError`.

    A writer calls this before it publishes, so that there is no version that its readers refuse.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            # Compressed members may be bombs, and stored members may all name the same bytes.
            if sum(member.file_size for member in archive.infolist()) > len(data) + _MAX_PACKED_BYTES:
                raise CheckpointError(f"the checkpoint unpacks to more than {_MAX_PACKED_BYTES} bytes over its size")
            card = card_of(archive)
            if archive.testzip() is not None:
                raise CheckpointError("the checkpoint is damaged: a member does not match its checksum")
    except CheckpointError:
        raise
    except CardError as error:
        raise CheckpointError(*error.faults) from error
    except Exception as error:  # zipfile fails on broken archives in many ways
        raise CheckpointError("the checkpoint is truncated or not a TorchScript archive") from error
    return card


def methods_of(card: Card) -> list[str]:
    """The methods that a network needs besides `forward`: the encoder of its kind of input, and two for live inputs."""
    return ["encode_image" if card.input.kind == "image" else "encode_events", "initial_state", "step"]


def check_outputs(
    card: Card, shape: tuple[int, int], scores: NDArray[Any], spikes: NDArray[Any], synops: NDArray[Any]
) -> None:
    """Check what a network returned for time steps and samples of `shape` `[T, B]`.

    Raises `ModelError` with the first fault unless the shapes match the card, scores are votes and all numbers are
    counts.
    """
    for fault in output_faults(card, shape, scores, spikes, synops):
        raise ModelError(fault)


def output_faults(
    card: Card, shape: tuple[int, int], scores: NDArray[Any], spikes: NDArray[Any], synops: NDArray[Any]
) -> Iterator[str]:
    """Everything that `check_outputs` would refuse; numbers are not looked at where shapes are wrong."""
    columns = {"scores": len(card.labels), "spikes": len(card.spiking_layers), "synops": len(card.synaptic_layers)}
    fits = True
    for (name, width), result in zip(columns.items(), (scores, spikes, synops), strict=True):
        if result.shape != (*shape, width):
            fits = False
            yield (
                f"the network's {name} do not have the shape that its card gives: "
                f"{list(result.shape)} instead of {[*shape, width]}"
            )
    if not fits:
        return
    if not np.isfinite(scores).all():
        yield "the network gave a score that is not a finite number"
        return
    counted = (scores == np.rint(scores)).all() and 0 <= scores.min() <= scores.max() <= card.voters
    if not counted or min(spikes.min(), synops.min()) < 0:
        yield "the network's scores are not votes of the voting neurons, or its counts are negative"
