"""`TorchScriptEngine`: a network that torch runs, and the only place in the service that loads archives."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from contract.card import Card
from contract.checkpoint import TRIAL_BATCHES, CheckpointError, check_outputs, methods_of, read_archive
from contract.early_exit import lead_of
from contract.errors import ModelError
from contract.reason import reason_of
from service.engine.device import Device
from service.engine.interface import (
    Activity,
    Choice,
    EventSample,
    ImageSample,
    Sample,
    State,
    activities_of,
    blank_sample,
    with_fired,
)
from service.engine.script_stages import fired_neurons, stages_of

_NO_NETWORK = "torch cannot load the checkpoint: it does not hold a scripted network"
_WITHOUT_TIME = np.array([0, 1, 1, 1], dtype=np.int64)  # multiplies the columns t, x, y, p


class TorchScriptEngine:
    """An `Engine` that runs a checkpoint's scripted network with torch.

    An archive is code: load only from a store that you trust.
    """

    def __init__(
        self,
        card: Card,
        module: torch.jit.ScriptModule,
        device: Device,
        memory_bytes: int,
        stages: Sequence[torch.jit.ScriptModule] = (),
    ) -> None:
        self.card = card
        self.choice = Choice("torchscript")
        self.device = device
        self.memory_bytes = memory_bytes
        self.threads: int | None = None
        """Threads for one operation; None for torch's own number."""
        self._module = module
        self._stages = stages

    @classmethod
    def load(cls, path: Path, device: Device) -> "TorchScriptEngine":
        """Load the archive at `path`, or raise `CheckpointError`."""
        return cls.of(*read_archive(path), device)

    @classmethod
    def of(cls, data: bytes, card: Card, device: Device) -> "TorchScriptEngine":
        """The engine of an archive that `read_archive` has read; `CheckpointError` if it does not hold a network."""
        try:
            module = torch.jit.load(BytesIO(data), map_location=str(device)).eval()
            weights = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
            stages = stages_of(module)
            module = torch.jit.freeze(module, preserved_attrs=methods_of(card), optimize_numerics=False)
        except Exception as error:  # torch fails on an archive without a network in many ways
            raise CheckpointError(_NO_NETWORK) from error
        if device.type == "cuda":
            _keep_sums_exact()
        return cls(card, module, device, weights, stages)

    def warm_up(self) -> None:
        """Run the network twice at each small batch size, so that torch compiles it now and not for the first caller.

        Raises `CheckpointError` if the network does not match its card.
        """
        for size in TRIAL_BATCHES:
            for _ in range(2):
                self.try_out([blank_sample(self.card)] * size)

    def try_out(self, samples: Sequence[Sample]) -> list[Activity]:
        """Run `samples` for the first time; `CheckpointError` if the network does not match its card."""
        try:
            return self.run(samples)
        except ModelError as error:
            raise CheckpointError(f"the network does not run as its card says: {error.message}") from error
        except Exception as error:  # a network may raise anything
            raise CheckpointError(f"the network does not run: {reason_of(error)}") from error

    def run(
        self, samples: Sequence[Sample], leads: Sequence[int] | None = None, *, raster: bool = False
    ) -> list[Activity]:
        """Run `samples` as one batch; see `Engine.run`. A raster takes a second run, layer by layer."""
        self._keep_threads()
        with torch.inference_mode():
            x = self._encode(samples)
            if leads is not None:
                activities = self._run_until(x, leads)
            else:
                activities = self._activities(x, self._module(x), (self.card.timesteps, len(samples)))
            return with_fired(activities, fired_neurons(self.card, self._stages, x)) if raster else activities

    def _run_until(self, x: torch.Tensor, leads: Sequence[int]) -> list[Activity]:
        """Step by step, from then on without the samples whose decision leads by enough."""
        batch, card = x.shape[1], self.card
        widths = len(card.labels), len(card.spiking_layers), len(card.synaptic_layers)
        whole = [np.zeros((batch, card.timesteps, width), np.int64) for width in widths]
        fed = (x != 0).sum((2, 3, 4)).cpu().numpy()
        used = np.full(batch, card.timesteps)
        going, state = np.arange(batch), self._module.initial_state(batch)
        for step, lead in enumerate(leads):
            *results, state = self._module.step(x[step], state)
            parts = [result.cpu().numpy() for result in results]
            check_outputs(card, (1, len(going)), *(part[None] for part in parts))
            for each, part in zip(whole, parts, strict=True):
                each[going, step] = part
            is_going = lead_of(whole[0][going].sum(1)) < lead
            used[going[~is_going]] = step + 1
            going = going[is_going]
            if not len(going):
                break
            if not is_going.all():
                kept = torch.from_numpy(np.flatnonzero(is_going)).to(str(self.device))
                x, state = x[:, kept], [potentials[kept] for potentials in state]
        taken = [int(fed[:steps, sample].sum()) for sample, steps in enumerate(used)]
        return activities_of(whole[0], whole[1], whole[2], taken, used.tolist())

    def initial_state(self) -> State:
        """Every potential at rest; see `Engine.initial_state`."""
        with torch.inference_mode():
            return State(0, tuple(self._module.initial_state(1)))

    def step(self, samples: Sequence[Sample], states: Sequence[State]) -> list[tuple[Activity, State]]:
        """Advance live inputs by one time step; see `Engine.step`.

        Poisson coding draws a frame as time step `state.steps` modulo T of an image with its seed.
        """
        self._keep_threads()
        with torch.inference_mode():
            x = self._encode_step(samples, states)
            before = [torch.cat(layer) for layer in zip(*(state.potentials for state in states), strict=True)]
            *results, after = self._module.step(x, before)
            activities = self._activities(x.unsqueeze(0), [each.unsqueeze(0) for each in results], (1, len(samples)))
            # A copy of each row, so that an idle input does not keep the potentials of its whole batch in memory.
            rows = zip(*(layer.split(1) for layer in after), strict=True)
            potentials = [tuple(potential.clone() for potential in row) for row in rows]
        return [
            (activity, State(state.steps + 1, row))
            for activity, state, row in zip(activities, states, potentials, strict=True)
        ]

    def _keep_threads(self) -> None:
        """torch has a number of threads for each thread that calls it."""
        if self.threads is not None and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)

    def _encode(self, samples: Sequence[Sample]) -> torch.Tensor:
        """The network's input `[T, B, C, H, W]`."""
        images = [sample for sample in samples if isinstance(sample, ImageSample)]
        if len(images) == len(samples):
            pixels = torch.from_numpy(np.stack([image.pixels for image in images])).to(str(self.device))
            seeds = torch.tensor([image.seed for image in images], dtype=torch.int64, device=str(self.device))
            return self._module.encode_image(pixels, seeds)  # type: ignore[no-any-return]
        recordings = [sample.events for sample in samples if isinstance(sample, EventSample)]
        if len(recordings) != len(samples):
            raise ValueError("a batch holds images or recordings, not both")
        index = np.repeat(np.arange(len(recordings)), [len(events) for events in recordings])
        events = torch.from_numpy(np.column_stack([index, np.concatenate(recordings)])).to(str(self.device))
        return self._module.encode_events(events, len(recordings))  # type: ignore[no-any-return]

    def _encode_step(self, samples: Sequence[Sample], states: Sequence[State]) -> torch.Tensor:
        """The network's input of one time step, `[B, C, H, W]`."""
        if self.card.input.kind == "image":
            steps = torch.tensor([state.steps % self.card.timesteps for state in states], device=str(self.device))
            return self._encode(samples)[steps, torch.arange(len(samples), device=str(self.device))]
        # Events of one moment all fall into the encoder's first bin.
        moments = [
            EventSample(each.events * _WITHOUT_TIME) if isinstance(each, EventSample) else each for each in samples
        ]
        return self._encode(moments)[0]

    def _activities(self, x: torch.Tensor, results: Sequence[torch.Tensor], shape: tuple[int, int]) -> list[Activity]:
        """One activity a sample, from the network's input and results, all of `shape` `[T, B]` and more."""
        # Each result leaves the device once; all further work is small.
        scores, spikes, synops = (result.cpu().numpy() for result in results)
        fed = (x != 0).sum((0, 2, 3, 4)).tolist()
        check_outputs(self.card, shape, scores, spikes, synops)
        by_sample = [result.astype(np.int64, copy=False).swapaxes(0, 1) for result in (scores, spikes, synops)]
        return activities_of(by_sample[0], by_sample[1], by_sample[2], fed)


def _keep_sums_exact() -> None:
    """Plain float32 in cuDNN and cuBLAS, and no algorithm that transforms its input: sums on the grid stay exact."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
