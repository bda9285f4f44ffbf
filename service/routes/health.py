"""`/health`: is the process alive, and can it answer? Needs no API key."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from contract import errors
from service.http.parameters import RuntimeOf
from service.http.responses import answer, failures


class Health(BaseModel):
    """The state of the service."""

    status: Literal["live", "ready"]


router = APIRouter(tags=["operations"])


@router.get(
    "/health/live", operation_id="live", summary="Is the process alive?", response_model=Health, responses=failures()
)
async def live() -> Response:
    """200 while the process is alive."""
    return answer(Health(status="live"))


@router.get(
    "/health/ready",
    operation_id="ready",
    summary="Can the service answer?",
    response_model=Health,
    responses=failures(errors.Unavailable, errors.ShuttingDown),
)
async def ready(runtime: RuntimeOf) -> Response:
    """200 if the preloaded models have loaded or failed and the device works, otherwise 503.

    The device works if it ran a batch a moment ago, or runs a blank input now. 503 from the start of a shutdown.
    """
    await runtime.readiness.check()
    return answer(Health(status="ready"))
