"""`docs/asyncapi.json`: the messages of live streams over WebSockets, generated from the code."""

from typing import Any

from pydantic import BaseModel, TypeAdapter

from service.streams.answers import Closed, DecisionMessage, ErrorMessage, Ready
from service.streams.messages import Message

API_VERSION = "1.0.0"  # of /v1

_SCHEMAS = "#/components/schemas/{model}"
_ANSWERS: dict[str, Any] = {
    "ready": Ready,
    "decision": DecisionMessage,
    "error": ErrorMessage,
    "closed": Closed,
}


def build_asyncapi(path: str, query: type[BaseModel]) -> dict[str, Any]:
    """The AsyncAPI 3 document of the WebSocket at `path`, whose handshake has this `query`."""
    adapters: dict[str, TypeAdapter[Any]] = {"text": TypeAdapter(Message), "query": TypeAdapter(query)}
    adapters |= {name: TypeAdapter(kind) for name, kind in _ANSWERS.items()}
    inputs = [(name, "validation", adapter) for name, adapter in adapters.items()]
    found, shared = TypeAdapter.json_schemas(inputs, ref_template=_SCHEMAS)  # type: ignore[arg-type]
    payloads = {name: found[name, "validation"] for name in adapters}
    schemas = dict(sorted(shared["$defs"].items()))
    messages = {
        "events": {
            "summary": "Events in the format of the query, cut anywhere.",
            "contentType": "application/octet-stream",
            "payload": {"type": "string", "format": "binary"},
        },
        "text": _json_message("Events as columns, or a command.", payloads["text"]),
        **{name: _json_message(_summary(kind), payloads[name]) for name, kind in _ANSWERS.items()},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stl-snn: live streams",
            "version": API_VERSION,
            "description": "Live events in, a decision for each time step out; docs/streaming.md explains both.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8000",
                "protocol": "ws",
                "security": [{"$ref": "#/components/securitySchemes/key"}],
            }
        },
        "channels": {
            "stream": {
                "address": path,
                "parameters": {"name": {"description": "A model's name."}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "query": _of(payloads["query"], schemas)}},
            }
        },
        "operations": {
            "send": _operation("receive", "What the client sends.", ["events", "text"]),
            "receive": _operation("send", "What the service sends.", list(_ANSWERS)),
        },
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key, if the service has any."}
            },
        },
    }


def _operation(action: str, summary: str, messages: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/stream"},
        "messages": [{"$ref": f"#/channels/stream/messages/{name}"} for name in messages],
    }


def _json_message(summary: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "contentType": "application/json", "payload": payload}


def _summary(kind: Any) -> str:
    return str(kind.__doc__).strip().splitlines()[0]


def _of(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, taken out of the shared ones: a binding needs an object with properties."""
    taken: dict[str, Any] = schemas.pop(schema["$ref"].rpartition("/")[2])
    return taken
