import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from contract.settings import Settings
from service.app import create_app
from service.http.entrance.authentication import OPEN_PATHS
from service.http.failures import HTTP_STATUS
from service.http.openapi import build_openapi, render

COMMITTED = Path(__file__).parents[3] / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_openapi(create_app(Settings.model_construct()))


def test_the_committed_document_is_what_the_code_says(document: dict[str, Any]) -> None:
    committed = json.loads(COMMITTED.read_text("utf-8"))
    committed["info"]["version"] = document["info"]["version"]
    assert committed == json.loads(render(document)), "write it anew: python -m service openapi > openapi.json"


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_every_operation_says_how_it_fails(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            failures = {status: answer for status, answer in operation["responses"].items() if status[0] in "45"}
            assert "500" in failures
            assert "422" in failures
            assert ("401" in failures) == (not path.startswith(OPEN_PATHS))
            for status, answer in failures.items():
                schema = answer["content"]["application/json"]["schema"]
                body = "OpenInferenceError" if path.startswith("/v2") else "ErrorBody"
                assert schema == {"$ref": f"#/components/schemas/{body}"}
                codes = [code for code in HTTP_STATUS if f"`{code}`" in answer["description"]]
                assert codes
                assert all(HTTP_STATUS[code] == int(status) for code in codes)


def test_a_prediction_takes_files_forms_and_json(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/models/{name}/predict"]["post"]
    assert {"image/png", "application/octet-stream", "multipart/form-data", "application/json"} <= set(
        operation["requestBody"]["content"]
    )
    assert {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"} == {
        "version", "detail", "top_k", "seed", "energy_profile", "format", "camera", "exit", "energy",
        "fit", "invert", "background", "window", "flip_y", "order",
        "draws", "decision",
    }  # fmt: skip
    schemas = document["components"]["schemas"]
    kinds = schemas["PredictBody"]["properties"]["inputs"]["items"]["oneOf"]
    assert [kind["$ref"].rsplit("/", 1)[1] for kind in kinds] == [
        "ImageInput", "PixelsInput", "EventsInput", "RecordingInput",
    ]  # fmt: skip


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, f"{name} is used nowhere"
