"""`/health`: whether the process is alive, and whether it can answer. Always open."""

from fastapi import APIRouter
from starlette.responses import Response

from service import errors
from service.routes.parameters import RuntimeOf
from service.routes.responses import answer, failures
from service.schemas import Health

router = APIRouter(tags=["operations"])


@router.get(
    "/health/live", operation_id="live", summary="Is the process alive", response_model=Health, responses=failures()
)
async def live() -> Response:
    """200 as long as the process answers at all."""
    return answer(Health(status="live"))


@router.get(
    "/health/ready",
    operation_id="ready",
    summary="Can it answer",
    response_model=Health,
    responses=failures(errors.Unavailable),
)
async def ready(runtime: RuntimeOf) -> Response:
    """200 when every model that is loaded at start has been loaded or has failed, else 503."""
    if not runtime.registry.ready:
        waiting = ", ".join(runtime.registry.pending)
        raise errors.Unavailable(f"still loading: {waiting}" if waiting else "the model store is not there")
    return answer(Health(status="ready"))
