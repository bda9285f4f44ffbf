"""What schemathesis makes of `openapi.json`: nothing breaks the service, and no answer its schema."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.hostile.refusals import check_shows_no_inside
from tests.hostile.server import Server, started
from tests.service.process import ROOT

CHECKS: list[Any] = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture(scope="module")
def running(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of its own, for promotions and deletions are among the cases."""
    folder = tmp_path_factory.mktemp("schema")
    store = shutil.copytree(tiny_store_root, folder / "store")
    with started(folder / "log", MODEL_STORE=str(store)) as server:
        yield server


@pytest.fixture(scope="module")
def api(running: Server) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{running.port}/openapi.json")


def operations() -> Iterator[tuple[str, str, GenerationMode]]:
    """Each route with what the document allows, and those that forbid something also with that."""
    paths = json.loads((ROOT / "openapi.json").read_text("utf-8"))["paths"]
    for path, methods in paths.items():
        if path.startswith("/v2/models/{name}/versions/"):  # the same as without a version
            continue
        for method, operation in methods.items():
            yield path, method, GenerationMode.POSITIVE
            kinds = [parameter["schema"].get("type") for parameter in operation.get("parameters", [])]
            if "requestBody" in operation or "integer" in kinds:
                yield path, method, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("path", "method", "mode"), list(operations()))
@given(data=st.data(), known=st.booleans())
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_case_breaks_the_service_or_the_schema_of_its_answer(
    api: Any, path: str, method: str, mode: GenerationMode, data: st.DataObject, known: bool
) -> None:
    case = data.draw(api[path][method].as_strategy(generation_mode=mode))
    case.headers.pop("X-Request-Timeout-Ms", None)  # a request in a hurry may rightly be 503 or 504
    if known and "name" in case.path_parameters:
        case.path_parameters["name"] = "tiny-image"
    answer = case.call_and_validate(checks=CHECKS)
    if answer.status_code >= 400:
        check_shows_no_inside(re.sub(r"'[^']*'", "", answer.text))  # quoted is what was sent, whatever it looks like


def test_the_service_still_answers(running: Server) -> None:
    running.check_still_answers()
