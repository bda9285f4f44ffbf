"""The parts of one running service, built when it starts and passed to whoever needs them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from contract.cores import available_cores, choose_threads
from contract.energy import Profile, profiles_with
from contract.job_spec import JOBS_FOLDER
from contract.settings import Settings
from contract.store import Store
from service.engine.device import choose_device
from service.engine.torchserve import TorchServe
from service.fine_tuning.queue import JobQueue
from service.inference.admission import Admission
from service.inference.batcher import Batcher
from service.inference.device_thread import DeviceThread
from service.inference.readiness import Readiness
from service.models.registry import Registry
from service.telemetry.energy_meter import energy_meter
from service.telemetry.metrics import Metrics
from service.uploads.inspection import Inspection
from service.uploads.storage import Uploads

LAST_BATCH_SECONDS = 5.0


@dataclass(frozen=True)
class Runtime:
    """The settings, the loaded models, what is let in, the queue, the metrics, energy profiles by name, and uploads.

    `threads` are those of one operation of the network on the CPU; `torchserve` is what runs the networks in its place,
    if anything does.
    """

    settings: Settings
    store: Store
    device: torch.device
    threads: int
    registry: Registry
    admission: Admission
    batcher: Batcher
    readiness: Readiness
    metrics: Metrics
    profiles: Mapping[str, Profile]
    inspection: Inspection
    jobs: JobQueue
    uploads: Uploads
    torchserve: TorchServe | None = None

    async def start(self) -> None:
        """Remove what a killed process left of uploads, and begin to load the models and to run batches."""
        await asyncio.to_thread(self.uploads.sweep)
        torch.set_num_threads(self.threads)
        await self.batcher.start()
        await self.registry.start()

    async def stop(self) -> bool:
        """Finish what is queued, then let go of the models; False for a device that is stuck in a batch.

        By now every request has been answered, so that at most one batch can be left.
        """
        is_done = await self.batcher.stop(min(LAST_BATCH_SECONDS, self.settings.shutdown_grace_seconds))
        await self.registry.stop()
        await self.jobs.close()
        if self.torchserve is not None and is_done:
            self.torchserve.close()
        return is_done


def build_runtime(settings: Settings) -> Runtime:
    """Build the parts that `settings` describe, on a running event loop.

    `InvalidParameter` for a device that is not there.
    """
    torchserve = _torchserve(settings)
    device = torch.device("cpu") if torchserve else choose_device(settings.device)
    store = Store(*settings.model_store)
    registry = Registry(
        store,
        device=device,
        preload=settings.preload,
        poll_seconds=settings.poll_seconds,
        load=torchserve.load if torchserve else None,
    )
    metrics = Metrics()
    threads = choose_threads(available_cores()) if settings.threads == "auto" else settings.threads
    admission = Admission(
        max_requests=settings.max_queue_size, max_bytes=settings.max_queue_bytes, on_drop=metrics.dropped
    )
    batcher = Batcher(
        DeviceThread(threads=threads, meter=None if torchserve else energy_meter(device)),
        admission,
        max_batch_size=settings.max_batch_size,
        max_batch_wait_ms=settings.max_batch_wait_ms,
        max_batch_cost=settings.max_batch_cost,
        on_batch=lambda report: metrics.batch(report.model, report.rows),
    )
    metrics.watch(
        queue_depth=lambda: batcher.depth,
        queue_bytes=lambda: admission.bytes,
        models_loaded=lambda: loaded_versions(registry),
    )
    return Runtime(
        settings=settings,
        store=store,
        device=device,
        threads=threads,
        registry=registry,
        admission=admission,
        batcher=batcher,
        readiness=Readiness(registry, batcher, seconds=settings.ready_seconds),
        metrics=metrics,
        profiles=profiles_with(settings.energy_profiles),
        inspection=Inspection(),
        jobs=JobQueue(settings.jobs_database, settings.data_dir.absolute() / JOBS_FOLDER),
        uploads=Uploads(settings.data_dir.absolute()),
        torchserve=torchserve,
    )


def _torchserve(settings: Settings) -> TorchServe | None:
    """What runs the networks when they do not run here."""
    if settings.backend == "local":
        return None
    return TorchServe(
        settings.torchserve_url,
        token_file=settings.torchserve_token_file,
        timeout_seconds=settings.torchserve_timeout_ms / 1000,
    )


def loaded_versions(registry: Registry) -> int:
    """How many versions are in memory."""
    return sum(version.state == "ready" for name in registry.names() for version in registry.versions(name))
