"""The parts of one running service, built when it starts and passed to whoever needs them."""

import asyncio
from dataclasses import dataclass
from functools import partial

from contract.cores import threads_for
from contract.job_spec import JOBS_FOLDER
from contract.settings import Settings
from contract.store import Store
from service.engine.device import CPU, Device, choose_device
from service.engine.load import load_engine
from service.engine.torchserve import TorchServe
from service.fine_tuning.file_retention import remove_old_files
from service.fine_tuning.queue import JobLimits, JobQueue
from service.fine_tuning.retention import Retention
from service.fine_tuning.stream import Streams
from service.inference.decoding import MAX_WAIT_SECONDS, decode_body
from service.inference.decoding import TASK as DECODE
from service.inference.predictor import Predictor
from service.inference.readiness import Readiness
from service.models.listing import Listing
from service.models.registry import Registry
from service.open_inference.unpack import MESSAGE_TASK, unpack_body, unpack_message
from service.open_inference.unpack import TASK as UNPACK
from service.sandbox.pool import Allowance, Sandbox
from service.streams.live_streams import LiveStreams
from service.telemetry.metrics import Metrics
from service.telemetry.power_window import power_window
from service.uploads.checks import UploadChecks
from service.uploads.storage import Uploads

LAST_BATCH_SECONDS = 5.0


@dataclass(frozen=True)
class Runtime:
    """The parts of one running service."""

    settings: Settings
    """Everything that can be configured, as it was at the start."""
    store: Store
    """The models on disk, and their history."""
    device: Device
    """Where networks run: CUDA or the CPU; the CPU if TorchServe runs them."""
    registry: Registry
    """The models of the store, and the versions in memory."""
    listing: Listing
    """The JSON of these models."""
    sandbox: Sandbox
    """The processes that decode large inputs."""
    predictor: Predictor
    """From inputs to predictions: admission, the queue, the device's thread."""
    live_streams: LiveStreams
    """The open streams of live events."""
    readiness: Readiness
    """Whether requests should come here."""
    metrics: Metrics
    """What `/metrics` shows."""
    upload_checks: UploadChecks
    """The processes that check uploaded data sets."""
    jobs: JobQueue
    """Fine-tuning jobs in their database."""
    streams: Streams
    """The streams of events of jobs."""
    job_retention: Retention
    """What deletes old jobs."""
    uploads: Uploads
    """Uploaded data sets on disk."""
    file_retention: Retention
    """What removes old uploads."""
    torchserve: TorchServe | None = None
    """The TorchServe that runs the networks; None if they run in this process."""

    async def start(self) -> None:
        """Remove what a killed process left of its uploads, and begin to load models and to run batches."""
        await asyncio.to_thread(self.uploads.sweep)
        await self.sandbox.start()
        await self.upload_checks.start()
        await self.predictor.start()
        await self.registry.start()
        self.file_retention.start()
        self.job_retention.start()

    async def stop(self) -> bool:
        """Finish the queue, then release the models; False if the device is stuck in a batch.

        Every request has been answered by now, so at most one batch is left.
        """
        self.live_streams.stop()
        await self.sandbox.stop()
        await self.upload_checks.stop()
        is_done = await self.predictor.stop(min(LAST_BATCH_SECONDS, self.settings.shutdown_grace_seconds))
        await self.registry.stop()
        await self.file_retention.stop()
        await self.streams.close()
        await self.job_retention.stop()
        await self.jobs.close()
        if self.torchserve is not None and is_done:
            self.torchserve.close()
        return is_done


def build_runtime(settings: Settings) -> Runtime:
    """Build the parts that `settings` describe, on a running event loop.

    `InvalidParameter` for a device that does not exist.
    """
    torchserve = _torchserve(settings)
    device = CPU if torchserve else choose_device(settings.device)
    store = Store(*settings.model_store)
    load = partial(load_engine, preference=settings.engine, threads=threads_for(settings.threads))
    registry = Registry(
        store,
        device=device,
        preload=settings.preload,
        poll_seconds=settings.poll_seconds,
        max_loaded_versions=settings.max_loaded_versions,
        load=torchserve.load if torchserve else load,
    )
    metrics = Metrics("torchserve" if torchserve else settings.engine)
    power = None if torchserve else power_window(str(device))
    sandbox = Sandbox(
        {DECODE: decode_body, UNPACK: unpack_body, MESSAGE_TASK: unpack_message},
        processes=settings.decode_processes,
        large=Allowance(settings.decode_memory_bytes),
        max_wait_seconds=MAX_WAIT_SECONDS,
    )
    upload_checks = UploadChecks(seconds=settings.upload_check_seconds, memory_bytes=settings.upload_check_memory_bytes)
    predictor = Predictor(registry, settings, power=power, metrics=metrics, sandbox=sandbox)
    live_streams = LiveStreams(registry, predictor.steps, settings, predictor.profiles, metrics)
    metrics.watch(
        queue_depth=lambda: predictor.batcher.depth,
        queue_bytes=lambda: predictor.admission.bytes,
        models_loaded=lambda: loaded_versions(registry),
        models_bytes=lambda: loaded_bytes(registry),
        streams=lambda: len(live_streams),
    )
    readiness = Readiness(registry, predictor.batcher, seconds=settings.ready_seconds)
    jobs = JobQueue(
        settings.jobs_database,
        settings.data_dir.absolute() / JOBS_FOLDER,
        JobLimits(queued=settings.max_queued_jobs, kept=settings.max_jobs),
    )
    uploads = Uploads(settings.data_dir.absolute(), settings.max_stored_bytes)
    return Runtime(
        settings=settings,
        store=store,
        device=device,
        registry=registry,
        listing=Listing(registry),
        sandbox=sandbox,
        predictor=predictor,
        live_streams=live_streams,
        readiness=readiness,
        metrics=metrics,
        upload_checks=upload_checks,
        jobs=jobs,
        streams=Streams(jobs, lambda: readiness.shutting_down, limit=settings.max_event_streams),
        job_retention=Retention("jobs", jobs.delete_older, settings.job_retention_days),
        uploads=uploads,
        file_retention=Retention("uploads", partial(remove_old_files, uploads, jobs), settings.file_retention_days),
        torchserve=torchserve,
    )


def _torchserve(settings: Settings) -> TorchServe | None:
    """The TorchServe that runs the networks, None if they run in this process."""
    if settings.backend == "local":
        return None
    return TorchServe(
        settings.torchserve_url,
        token_file=settings.torchserve_token_file,
        timeout_seconds=settings.torchserve_timeout_ms / 1000,
    )


def loaded_versions(registry: Registry) -> int:
    """Number of versions in memory."""
    return len(registry.in_memory())


def loaded_bytes(registry: Registry) -> int:
    """Bytes of the weights of all versions in memory."""
    return sum(version.engine.memory_bytes for version in registry.in_memory() if version.engine is not None)
