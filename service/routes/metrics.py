"""`/metrics`, for Prometheus."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from service.http.parameters import RuntimeOf
from service.http.responses import failures

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **failures()},
)
async def metrics(runtime: RuntimeOf) -> Response:
    """Requests, latencies, batches, the queue, spikes, operations, energy and jobs, in Prometheus's text format."""
    runtime.metrics.jobs(await runtime.jobs.counts())
    return Response(runtime.metrics.render(), media_type=CONTENT_TYPE_LATEST)
