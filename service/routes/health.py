"""`/health`: whether the process is alive, and whether it can answer. Always open."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from contract import errors
from service.http.parameters import RuntimeOf
from service.http.responses import answer, failures


class Health(BaseModel):
    """The service's own state."""

    status: Literal["live", "ready"]


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
    responses=failures(errors.Unavailable, errors.ShuttingDown),
)
async def ready(runtime: RuntimeOf) -> Response:
    """200 when the models that are loaded at start have been loaded or have failed, and the device works; else 503.

    The device works when it ran a batch a moment ago, or runs a blank input now. From the moment that the service is
    told to leave the answer is 503.
    """
    await runtime.readiness.check()
    return answer(Health(status="ready"))
