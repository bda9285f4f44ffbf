"""`GET /v1/models/{name}/history`: the changes to a model's versions and default."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, PositiveInt
from starlette.responses import Response

from contract import errors
from contract.store_history import Action
from service.http.pagination import Page
from service.http.parameters import Name, RuntimeOf
from service.http.responses import answer, failures

router = APIRouter(tags=["models"])

MAX_PAGE = 1000
DEFAULT_PAGE = 20


class ChangeBody(BaseModel):
    """One change to a model."""

    id: str
    object: Literal["model.change"]
    created_at: float = Field(description="Unix seconds.")
    action: Action = Field(description="A version was published, made the default, or deleted.")
    version: PositiveInt
    previous: PositiveInt | None = Field(description="The default before a promotion.")


class ChangeList(Page[ChangeBody]):
    """A page of changes."""


@router.get(
    "/v1/models/{name}/history",
    operation_id="list_model_history",
    summary="A model's history",
    response_model=ChangeList,
    responses=failures(errors.ModelNotFound),
)
async def list_model_history(
    runtime: RuntimeOf,
    name: Name,
    after: Annotated[str | None, Query(description="Id of a change; the page starts after it.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Maximum number of changes.")] = DEFAULT_PAGE,
) -> Response:
    """A page of changes to the model's versions and default, newest first. A roll-back is a promotion too."""
    try:
        place = None if after is None else _place(after)
        changes, has_more = await runtime.registry.history(name, after=place, limit=limit)
    except errors.InvalidParameter as error:
        raise errors.InvalidParameter(f"model {name!r} has no change {after!r}", param="after") from error
    found = [
        ChangeBody(
            id=f"change-{'-'.join(map(str, place))}",
            object="model.change",
            created_at=change.at,
            action=change.action,
            version=change.version,
            previous=change.previous,
        )
        for place, change in changes
    ]
    return answer(ChangeList.of(found, has_more=has_more))


def _place(identity: str) -> tuple[int, ...]:
    """The place of the change of this id."""
    if not re.fullmatch("change(-[0-9]{1,15})+", identity):
        raise errors.InvalidParameter("not the id of a change")
    return tuple(map(int, identity.split("-")[1:]))
