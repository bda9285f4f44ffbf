"""The service as a Ray Serve application, `service.ray_app:application`: the web application, in replicas.

Ray's proxies hold the connections and pass requests on to replicas, which Ray places, replaces and scales; what
`service/http/server.py` does about connections is theirs (docs/scaling.md). Every replica serves every model of the
shared store. `deploy/ray/serve.yaml` deploys it. Settings are the environment of the replica.
"""

import asyncio

import ray
from fastapi import FastAPI
from ray import serve

from contract.cores import choose_threads
from contract.settings import Settings, load
from service.app import create_app
from service.engine.allocator import keep_freed_memory
from service.runtime import Runtime
from service.telemetry import logs

START_SECONDS = 0.05


class Replica:
    """What Ray asks of a replica beside requests: whether it is healthy."""

    app: FastAPI  # which Ray adds
    _has_started = False

    async def check_health(self) -> None:
        """Return if the device works, else raise `Unavailable`; the first time, once the models are loaded.

        Ray replaces a replica that raises, so a store that has gone does not count: what is loaded still answers.
        """
        runtime: Runtime = self.app.state.runtime
        while not (self._has_started or runtime.registry.ready):
            await asyncio.sleep(START_SECONDS)
        self._has_started = True
        await runtime.readiness.check_device()


def build() -> FastAPI:
    """Build the application of one replica."""
    settings = for_replica(load(), cores=ray.get_runtime_context().get_assigned_resources().get("CPU", 1.0))
    logs.configure(settings.log_level, settings.log_format)
    keep_freed_memory()
    return create_app(settings)


def for_replica(settings: Settings, *, cores: float) -> Settings:
    """The settings of a replica that has `cores` of its node. `ValueError` without a jobs database that all share."""
    if settings.database_url is None:
        raise ValueError("SNN_DATABASE_URL is not set: the replicas need a jobs database that they share")
    if settings.threads == "auto":
        settings = settings.model_copy(update={"threads": choose_threads(cores)})
    return settings.model_copy(update={"grpc_port": None})  # Ray's proxies have the ports


deployment = serve.deployment(serve.ingress(build)(Replica), name="stl-snn")
application = deployment.bind()
