"""A gRPC server around a running service, and calls to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.http.entrance.authentication import Authentication
from service.open_inference import inference_pb2 as pb
from service.rpc.server import SERVICE, RpcServer
from service.runtime import Runtime


class Caller:
    """Calls one server by the names of its calls, whose messages are `NAMERequest` and `NAMEResponse`."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    async def call(self, name: str, request: Message | bytes | None = None, key: str = "", **options: Any) -> Any:
        response: Any = getattr(pb, f"{name}Response")
        call = self.channel.unary_unary(f"/{SERVICE}/{name}", response_deserializer=response.FromString)
        sent = getattr(pb, f"{name}Request")() if request is None else request
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        data = sent if isinstance(sent, bytes) else sent.SerializeToString()
        return await call(data, metadata=metadata, **{"timeout": 20} | options)

    async def refused(self, name: str, request: Any = None, **options: Any) -> tuple[str, str]:
        """The status code of a failed call, and its message."""
        try:
            await self.call(name, request, **options)
        except grpc.aio.AioRpcError as error:
            return error.code().name, str(error.details())
        raise AssertionError(f"{name} succeeded")

    async def unsent(self, name: str, timeout: float | None = None) -> tuple[str, str]:
        """The same for a call whose message is never sent."""
        call = self.channel.stream_unary(f"/{SERVICE}/{name}")(timeout=timeout)
        try:
            async with asyncio.timeout(5):
                await call
        except grpc.aio.AioRpcError as error:
            return error.code().name, str(error.details())
        raise AssertionError(f"{name} succeeded")

    async def health(self, service: str = "") -> str:
        """The status that gRPC's health service reports."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=20)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@asynccontextmanager
async def calling(runtime: Runtime, *keys: str) -> AsyncIterator[Caller]:
    server = RpcServer(runtime, Authentication(keys), "1.2.3", 0)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Caller(channel)
    finally:
        await server.stop()
