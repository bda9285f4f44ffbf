"""`GET /v1/models/{name}/history`: what became of a model's versions and its default."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, PositiveInt
from starlette.requests import Request
from starlette.responses import Response

from contract import errors
from contract.store import Action
from service.http.pages import cut_page
from service.http.parameters import Name, RuntimeOf
from service.http.responses import answer, failures

router = APIRouter(tags=["models"])

MAX_PAGE = 1000
DEFAULT_PAGE = 20


class ChangeBody(BaseModel):
    """One thing that happened to a model."""

    id: str
    object: Literal["model.change"]
    created_at: float = Field(description="Unix seconds.")
    action: Action = Field(description="A version was published, made the default, or deleted.")
    version: PositiveInt
    previous: PositiveInt | None = Field(description="The default before, where a version was made the default.")


class ChangeList(BaseModel):
    """A page of changes."""

    object: Literal["list"]
    data: list[ChangeBody]
    has_more: bool
    first_id: str | None
    last_id: str | None


@router.get(
    "/v1/models/{name}/history",
    operation_id="list_model_history",
    summary="A model's history",
    response_model=ChangeList,
    responses=failures(errors.ModelNotFound),
)
async def list_model_history(
    request: Request,
    runtime: RuntimeOf,
    name: Name,
    after: Annotated[str | None, Query(description="A change's id; the page begins after it.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Changes on the page.")] = DEFAULT_PAGE,
) -> Response:
    """A page of what happened to the model's versions and its default, the newest first.

    Going back to an earlier version is a promotion too.
    """
    changes = await runtime.registry.history(name)
    request.state.model = name
    found = [
        ChangeBody(
            id=f"change-{number}",
            object="model.change",
            created_at=change.at,
            action=change.action,
            version=change.version,
            previous=change.previous,
        )
        for number, change in enumerate(changes, 1)
    ][::-1]
    unknown = errors.InvalidParameter(f"{after!r} is no change of model {name!r}", param="after")
    page, has_more = cut_page(found, after, limit, unknown)
    return answer(
        ChangeList(
            object="list",
            data=list(page),
            has_more=has_more,
            first_id=page[0].id if page else None,
            last_id=page[-1].id if page else None,
        )
    )
