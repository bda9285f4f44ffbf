"""A job's process on a node of a Ray cluster (`SNN_JOBS_LAUNCHER=ray`).

Ray only chooses the node, reserves the device there and says when the node is gone. The jobs database stays the only
record of jobs, and everything that an attempt writes is in the job's folder, which all nodes share.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from contract.job_spec import PARENT_VARIABLE, PLACED_VARIABLE
from contract.settings import Settings
from training.worker.child import Child, Launch, LocalChild

MARGIN_SECONDS = 10.0  # after the grace, for Ray to pass on that the child has ended
_KEPT_VARIABLES = ("CUDA_VISIBLE_DEVICES",)  # which Ray sets on the node


class Place:
    """Runs one child on the node where Ray has put it; both end with the node, and with the worker."""

    def __init__(self) -> None:
        self._child: LocalChild | None = None
        self._is_stopped = False

    async def run(self, folder: str, environment: dict[str, str]) -> int:
        """The exit status of the child."""
        own = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        given = environment | own | {PARENT_VARIABLE: str(os.getpid()), PLACED_VARIABLE: "1"}
        if self._is_stopped:
            return -signal.SIGTERM
        self._child = await LocalChild.start(Path(folder), given)
        return await self._child.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Stop the child, or do not start one."""
        self._is_stopped = True
        if self._child is not None:
            await self._child.stop(grace_seconds)

    async def has_started(self) -> bool:
        """Whether the child runs."""
        return self._child is not None


class RayChild(Child):
    """The worker's end of a `Place`. A child whose node has gone counts as killed."""

    def __init__(self, folder: Path, environment: Mapping[str, str], options: dict[str, Any]) -> None:
        super().__init__(folder)
        self._place = ray.remote(Place).options(max_restarts=0, max_concurrency=4, **options).remote()
        self._status = self._place.run.remote(str(folder), dict(environment))
        self._is_placed = asyncio.ensure_future(self._placed())

    @property
    def place(self) -> str:
        """The id of its actor, by which Ray's tools find it."""
        return f"Ray actor {self._place._actor_id.hex()}"

    async def wait(self) -> int:
        """The exit status; minus SIGKILL if the node, or the process that watches the child there, has gone."""
        try:
            return int(await self._status)
        except RayError:
            return -signal.SIGKILL
        finally:
            self._is_placed.cancel()

    async def stop(self, grace_seconds: float) -> int:
        """Ask the child to stop, kill it after `grace_seconds`, and return its exit status."""
        if not self._is_placed.done():  # no node has room for it yet
            ray.kill(self._place)
            return -signal.SIGTERM
        with suppress(RayError):
            self._place.stop.remote(grace_seconds)
        try:
            status = await asyncio.wait_for(self.wait(), grace_seconds + MARGIN_SECONDS)
        except TimeoutError:
            status = -signal.SIGKILL
        with suppress(RayError):
            ray.kill(self._place)
        return status

    def last_sign(self) -> int:
        """When the child gave its last sign of life; a child that waits for a node is not late."""
        return super().last_sign() if self._is_placed.done() else time.monotonic_ns()

    async def _placed(self) -> None:
        with suppress(RayError):
            await self._place.has_started.remote()


def ray_launcher(settings: Settings) -> Launch:
    """Connect to the cluster of this node, or of `RAY_ADDRESS`, and return what starts children on it."""
    ray.init(address="auto", log_to_driver=False, configure_logging=False)
    threads = 1 if settings.training_threads == "auto" else settings.training_threads
    has_gpu = settings.device.startswith("cuda")
    options = {"num_cpus": threads, "num_gpus": 1 if has_gpu else 0}
    own = {"SNN_TRAINING_THREADS": str(threads), "SNN_DEVICE": "cuda" if has_gpu else "cpu"}

    async def launch(folder: Path, environment: Mapping[str, str]) -> Child:
        return RayChild(folder, {**environment, **own}, options)

    return launch
