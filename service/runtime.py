"""The parts of one running service, built when it starts and passed to whoever needs them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from service.batcher import Batcher
from service.energy import Profile, profiles_with
from service.errors import InvalidParameter
from service.metrics import Metrics
from service.power import energy_meter
from service.registry import Registry
from service.settings import Settings
from service.store import Store


@dataclass(frozen=True)
class Runtime:
    """The settings, the loaded models, the queue, the metrics, and the energy profiles by name."""

    settings: Settings
    device: torch.device
    registry: Registry
    batcher: Batcher
    metrics: Metrics
    profiles: Mapping[str, Profile]

    async def start(self) -> None:
        """Begin to load the models and to run batches."""
        torch.set_num_threads(self.settings.threads)
        await self.batcher.start()
        await self.registry.start()

    async def stop(self) -> None:
        """Finish what is queued, then let go of the models."""
        await self.batcher.stop()
        await self.registry.stop()


def build_runtime(settings: Settings) -> Runtime:
    """Build the parts that `settings` describe, on a running event loop.

    `InvalidParameter` for a device that is not there.
    """
    device = choose_device(settings.device)
    registry = Registry(
        Store(settings.model_store), device=device, preload=settings.preload, poll_seconds=settings.poll_seconds
    )
    metrics = Metrics()
    batcher = Batcher(
        max_batch_size=settings.max_batch_size,
        max_batch_wait_ms=settings.max_batch_wait_ms,
        max_queue_size=settings.max_queue_size,
        max_batch_cost=settings.max_batch_cost,
        on_batch=lambda report: metrics.batch(report.model, report.rows),
        meter=energy_meter(device),
    )
    metrics.watch(queue_depth=lambda: batcher.depth, models_loaded=lambda: loaded_versions(registry))
    return Runtime(settings, device, registry, batcher, metrics, profiles_with(settings.energy_profiles))


def choose_device(wanted: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; `InvalidParameter` for CUDA where there is none."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidParameter(f"SNN_DEVICE is {wanted!r}, and torch sees {torch.cuda.device_count()} CUDA devices")
    return device


def loaded_versions(registry: Registry) -> int:
    """How many versions are in memory."""
    return sum(version.state == "ready" for name in registry.names() for version in registry.versions(name))
