"""The AsyncAPI document of live streams: committed, valid, and true.

The schema beside this file is AsyncAPI's own, from the npm package `@asyncapi/specs` 6.11.1 (Apache-2.0).
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import jsonschema  # type: ignore[import-untyped]
import pytest

from service.http.asyncapi import build_asyncapi
from service.http.openapi import render
from service.routes.stream import PATH, StreamQuery
from service.streams.answers import ServerMessage
from service.streams.live_stream import LiveStream
from service.streams.options import StreamOptions
from tests.service.serving import Client
from tests.service.streams.streaming import Talk, as_bytes, as_text, bar

COMMITTED = Path(__file__).parents[3] / "docs" / "asyncapi.json"
SCHEMA = json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text())


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_asyncapi(PATH, StreamQuery)


def payload(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The whole schema of a message, with those that it refers to."""
    schema: dict[str, Any] = document["components"]["messages"][name]["payload"]
    return schema | {"components": document["components"]}


def test_the_committed_document_is_what_the_code_says(document: dict[str, Any]) -> None:
    assert COMMITTED.read_text("utf-8") == render(document), "python -m service asyncapi > docs/asyncapi.json"


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(SCHEMA)
    validator.validate(document)
    for at, wrong in (("action", "sends"), ("channel", "stream"), ("other", 1)):
        broken = deepcopy(document)
        broken["operations"]["send"][at] = wrong
        assert not validator.is_valid(broken)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def check(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                target: Any = document
                for name in part["$ref"].removeprefix("#/").split("/"):
                    target = target[name]
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                check(each)

    check(document)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_stream_takes_and_says_fits_the_document(document: dict[str, Any], client: Client) -> None:
    async def opened(**options: Any) -> LiveStream:
        return await client.runtime.live_streams.open("tiny-events", StreamOptions(**options))

    heard = await Talk([as_bytes(bar(1)), b"\xff" * 13]).run(await opened(scores=True))
    heard += await Talk([as_bytes(bar(1))]).run(await opened())
    kinds = {message["type"] for message in heard}
    assert len(kinds) == len(get_args(ServerMessage))
    assert kinds == set(document["components"]["messages"]) - {"events", "text"}
    for message in heard:
        schema = jsonschema.Draft202012Validator(payload(document, message["type"]))
        schema.validate(message)
        assert not schema.is_valid({**message, "type": "other"})
    text = jsonschema.Draft202012Validator(payload(document, "text"))
    for sent in (as_text(bar(1)), '{"type": "flush"}', '{"type": "reset"}', '{"type": "close"}'):
        text.validate(json.loads(sent))
    assert not text.is_valid({"type": "stop"})


def test_the_query_has_every_option(document: dict[str, Any]) -> None:
    query = document["channels"]["stream"]["bindings"]["ws"]["query"]
    assert query["properties"].keys() == StreamQuery.model_fields.keys()
