"""`openapi.json`: the HTTP interface as the code has it."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.fine_tuning.create_job import CreateJobBody
from service.inference.bodies import PredictBody
from service.models.bodies import DefaultBody
from service.uploads.bodies import FileForm

_OPEN = "/health/"
_BODIES = (DefaultBody, PredictBody, CreateJobBody, FileForm)
_REQUEST_ID = {
    "description": "The caller's `X-Request-ID` if it sent a sane one, else a new one; logs carry it too.",
    "schema": {"type": "string"},
}


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """The app's OpenAPI 3.1 document, with what FastAPI cannot see: hand-read bodies, keys, and the request's id."""
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    _, bodies = models_json_schema(
        [(body, "validation") for body in _BODIES],
        ref_template="#/components/schemas/{model}",
    )
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
            if path.startswith(_OPEN):
                operation["responses"].pop("401", None)
            else:
                operation["security"] = [{"key": []}, {}]
    return document


def render(document: dict[str, Any]) -> str:
    """The document as text, the way it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
