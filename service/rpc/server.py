"""The gRPC server: who may call, admission and deadlines, errors, health, and its end."""

import asyncio
import logging
from collections.abc import AsyncIterable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contract.errors import BadRequest, ServiceError, TooLarge
from service.http.connections import client_of
from service.http.entrance.authentication import Authentication
from service.http.failures import HTTP_STATUS, uncaught
from service.http.server import LAST_ANSWERS_SECONDS
from service.rpc.calls import INFER, Call, Calls, Received
from service.rpc.status import status_of
from service.runtime import Runtime

SERVICE = "inference.GRPCInferenceService"
MAX_CALLS = 512  # at the same time; each may hold a message
_MESSAGE_OVERHEAD = 64 * 1024  # bytes of a message besides its tensor, and of every message without one
_OPEN = ("ServerLive", "ServerReady")
_HEALTH = "/grpc.health.v1.Health/"

log = logging.getLogger(__name__)


class RpcServer:
    """Serves the calls of `runtime` on `port`, 0 for a free one, between `start` and `stop`."""

    def __init__(self, runtime: Runtime, authentication: Authentication, version: str, port: int) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self._server = grpc.aio.server(
            interceptors=[_Gate(authentication)],
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes + _MESSAGE_OVERHEAD),
                ("grpc.max_send_message_length", -1),  # answers are bounded before they are built
                ("grpc.so_reuseport", int(settings.workers > 1)),  # else two services could share the port unnoticed
            ],
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(partial(self._serve, name, call))  # which reads when it wants to
            for name, call in Calls(runtime, version).by_name().items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(_Health(runtime), self._server)
        self.port = self._server.add_insecure_port(_address(settings.host, port))

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()
        log.info("gRPC listens on %s port %d", self._runtime.settings.host, self.port)

    async def stop(self) -> None:
        """Accept no more calls, and finish those that are being answered within what is left of the grace."""
        now = asyncio.get_running_loop().time()
        ends = min(self._runtime.predictor.admission.closes, now + self._runtime.settings.shutdown_grace_seconds)
        await self._server.stop(max(0.0, ends - now) + LAST_ANSWERS_SECONDS)

    async def _serve(self, name: str, call: Call, messages: AsyncIterable[bytes], context: Any) -> bytes:
        started, answer = perf_counter(), b""
        failure: ServiceError | None = None
        try:
            answer = await self._answer(name, call, messages, context)
        except ServiceError as error:
            failure = error
        except Exception:
            log.exception("%s failed", name)
            failure = uncaught()
        seconds = perf_counter() - started
        status = 200 if failure is None else HTTP_STATUS.get(failure.code, 500)
        log.info("gRPC %s %d %.1f ms", name, status, seconds * 1000)
        self._runtime.metrics.request(f"/{SERVICE}/{name}", "GRPC", "", status, seconds)
        if failure is not None:
            await context.abort(*status_of(failure))
        return answer

    async def _answer(self, name: str, call: Call, messages: AsyncIterable[bytes], context: Any) -> bytes:
        settings, admission = self._runtime.settings, self._runtime.predictor.admission
        remaining = context.time_remaining()
        seconds = settings.request_timeout_ms / 1000 if remaining is None else remaining
        address = context.peer().partition(":")[2].rpartition(":")[0].strip("[]")
        with admission.request(
            seconds=min(seconds, settings.max_request_timeout_ms / 1000),
            places=name == INFER,
            client=client_of(address),
        ) as ticket:
            try:
                ticket.enter("body")
                data = await anext(aiter(messages), None)
                if data is None:
                    raise BadRequest("the call has no message")
                if name != INFER and len(data) > _MESSAGE_OVERHEAD:
                    raise TooLarge(f"the message has more than {_MESSAGE_OVERHEAD} bytes")
                ticket.hold(len(data))
                ticket.enter("load")
                return await call(Received(data, ticket, context.add_done_callback))
            except asyncio.CancelledError:
                if ticket.ended is None:
                    admission.dropped(ticket, "client_left")
                raise


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses a call without a right key before its message is read."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler of a call, or one that refuses it."""
        try:
            self._check(details.method, dict(details.invocation_metadata or ()))
        except ServiceError as error:
            code, message = status_of(error)

            async def refuse(requests: Any, context: Any) -> None:
                await context.abort(code, message)

            return grpc.stream_unary_rpc_method_handler(refuse)  # which reads nothing
        return await continuation(details)

    def _check(self, method: str, metadata: Mapping[str, str]) -> None:
        name = method.rpartition("/")[2]
        if method.startswith(_HEALTH) or name in _OPEN:
            return
        if (refusal := self._authentication.refusal(method, metadata)) is not None:
            raise refusal


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """gRPC's own health service, which follows the readiness of this one."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        """Whether the service can answer."""
        if request.service not in ("", SERVICE):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r}")
        try:
            await self._runtime.readiness.check()
        except ServiceError:
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
