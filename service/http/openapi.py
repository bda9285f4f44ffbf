"""`openapi.json`: the HTTP interface, generated from the code."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.http.entrance.authentication import OPEN_PATHS

_SCHEMAS = "#/components/schemas/{model}"
_REQUEST_ID = {
    "description": "The caller's `X-Request-ID` if it sent a sane one, else a new one; logs carry it too.",
    "schema": {"type": "string"},
}


_bodies: set[type[BaseModel]] = set()  # that routes read by themselves, and FastAPI does not know


def body_schema(model: type[BaseModel]) -> dict[str, str]:
    """A reference to the schema of a request body; `build_openapi` adds the schema to the document."""
    _bodies.add(model)
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The `requestBody` of a route that reads JSON as `model`."""
    return {"required": True, "content": {"application/json": {"schema": body_schema(model)}}}


def form_body(model: type[BaseModel]) -> dict[str, Any]:
    """The `requestBody` of a route that reads a form with the fields of `model`."""
    return {"required": True, "content": {"multipart/form-data": {"schema": body_schema(model)}}}


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """The app's OpenAPI 3.1 document, with what FastAPI does not know: bodies, API keys and the request's id."""
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    _, bodies = models_json_schema([(body, "validation") for body in _bodies], ref_template=_SCHEMAS)
    components = document["components"]
    components["schemas"].update(bodies["$defs"])
    components["schemas"] = dict(sorted(components["schemas"].items()))
    components["headers"] = {"RequestId": _REQUEST_ID}
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "One of the service's API keys, if it has any."}
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer["headers"] = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
            if path.startswith(OPEN_PATHS):
                operation["responses"].pop("401", None)
            else:
                operation["security"] = [{"key": []}, {}]
    return document


def render(document: dict[str, Any]) -> str:
    """The document as text, the way it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
