"""A loaded checkpoint: the only place that knows how a network is loaded and run."""

import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contract.card import Card, CardError, card_of
from contract.errors import ModelError
from service.engine.interface import Activity, CheckpointError, EventSample, ImageSample, Sample, blank_sample

_METHODS = ["encode_image", "encode_events", "initial_state", "step"]
_WARM_UP_BATCHES = (1, 2)
# Tensors are stored as they are; what is compressed in an archive is code, debug information and small tables.
_MAX_PACKED_BYTES = 64_000_000
_MAX_BYTES = 2**32


class TorchScriptEngine:
    """A scripted network on one device, with its card.

    An archive is code: load only from a store that is trusted. One thread at a time may call `run`.
    """

    def __init__(self, card: Card, module: torch.jit.ScriptModule, device: torch.device) -> None:
        self.card = card
        self.device = device
        self._module = module

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "TorchScriptEngine":
        """Load the archive at `path`, or raise `CheckpointError`.

        The archive is checked before torch reads it, since torch does not compare checksums. It is read once, so that
        what was checked is what is loaded, whoever writes to the file meanwhile.
        """
        data = _read(path)
        card = _check_archive(data)
        try:
            module = torch.jit.load(BytesIO(data), map_location=device)
            module = torch.jit.freeze(module.eval(), preserved_attrs=_METHODS, optimize_numerics=False)
        except Exception as error:  # torch lets an archive without a network fail in many ways
            raise CheckpointError("torch cannot load the checkpoint: it does not hold a scripted network") from error
        if device.type == "cuda":
            _keep_sums_exact()
        return cls(card, module, device)

    def warm_up(self) -> None:
        """Run the network twice at small batch sizes: the first calls compile it, and the first caller should not pay.

        Raises `CheckpointError` where the network does not do what its card says.
        """
        for size in _WARM_UP_BATCHES:
            for _ in range(2):
                try:
                    self.run([blank_sample(self.card)] * size)
                except Exception as error:  # a network raises what it likes
                    raise CheckpointError("the network does not run, or not as its card says") from error

    def run(self, samples: Sequence[Sample]) -> list[Activity]:
        """Run `samples` as one batch; blocks, so call it off the event loop.

        The same sample gives the same numbers in any batch. Raises `ModelError` where a number is not finite.
        """
        with torch.inference_mode():
            x = self._encode(samples)
            # Each result leaves the device once; what follows is small and needs it no more.
            scores, spikes, synops = (result.cpu().numpy() for result in self._module(x))
            fed = (x != 0).sum((0, 2, 3, 4)).tolist()
        self._check(len(samples), scores, spikes, synops)
        counts = (result.astype(np.int64, copy=False).swapaxes(0, 1) for result in (scores, spikes, synops))
        return [Activity(*row) for row in zip(*counts, fed, strict=True)]

    def _encode(self, samples: Sequence[Sample]) -> torch.Tensor:
        """The network's input `[T, B, C, H, W]`."""
        images = [sample for sample in samples if isinstance(sample, ImageSample)]
        if len(images) == len(samples):
            pixels = torch.from_numpy(np.stack([image.pixels for image in images])).to(self.device)
            seeds = torch.tensor([image.seed for image in images], dtype=torch.int64, device=self.device)
            return self._module.encode_image(pixels, seeds)  # type: ignore[no-any-return]
        recordings = [sample.events for sample in samples if isinstance(sample, EventSample)]
        if len(recordings) != len(samples):
            raise ValueError("a batch holds images or recordings, not both")
        index = np.repeat(np.arange(len(recordings)), [len(events) for events in recordings])
        events = torch.from_numpy(np.column_stack([index, np.concatenate(recordings)])).to(self.device)
        return self._module.encode_events(events, len(recordings))  # type: ignore[no-any-return]

    def _check(self, rows: int, scores: NDArray[Any], spikes: NDArray[Any], synops: NDArray[Any]) -> None:
        """Shapes are the card's, and every number is a count."""
        card = self.card
        columns = {"scores": len(card.labels), "spikes": len(card.spiking_layers), "synops": len(card.synaptic_layers)}
        for (name, width), result in zip(columns.items(), (scores, spikes, synops), strict=True):
            if result.shape != (card.timesteps, rows, width):
                raise ModelError(f"the network's {name} are not of the shape that its card says")
        if not np.isfinite(scores).all():
            raise ModelError("the network gave a score that is not a finite number")
        counted = (scores == np.rint(scores)).all() and 0 <= scores.min() <= scores.max() <= card.voters
        if not counted or min(spikes.min(), synops.min()) < 0:
            raise ModelError("the network's scores are not votes of the voting neurons, or its counts are negative")


def _keep_sums_exact() -> None:
    """Plain float32 in cuDNN and cuBLAS, and no algorithm that transforms its input: sums on the grid stay exact."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # reading from a pipe would never end
            raise CheckpointError("there is no model.pt in the version folder")
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"the checkpoint has more than {_MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"the checkpoint cannot be read: {error.strerror}") from error


def _check_archive(data: bytes) -> Card:
    """Every member whole, unchanged and of sane size, and a valid card among them."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            # Compressed members may be bombs, and those that are stored may all name the same bytes.
            if sum(member.file_size for member in archive.infolist()) > len(data) + _MAX_PACKED_BYTES:
                raise CheckpointError(f"the checkpoint unpacks to more than {_MAX_PACKED_BYTES} bytes over its size")
            card = card_of(archive)
            if archive.testzip() is not None:
                raise CheckpointError("the checkpoint is damaged: a member does not match its checksum")
    except CheckpointError:
        raise
    except CardError as error:
        raise CheckpointError(str(error)) from error
    except Exception as error:  # zipfile lets a broken archive fail in many ways
        raise CheckpointError("the checkpoint is truncated or not a TorchScript archive") from error
    return card
