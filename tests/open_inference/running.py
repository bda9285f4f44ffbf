"""A running service, and what a client without any library gets from it."""

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]


class Service:
    """A service in a process of its own, with the models of `model_store`."""

    def __init__(self, address: str, grpc_address: str) -> None:
        self.address = address
        self.grpc_address = grpc_address

    def predict(self, model: str, inputs: list[dict[str, Any]], query: str = "") -> Any:
        """The answer of `/v1`, as a client without any library gets it."""
        body = json.dumps({"inputs": inputs}).encode()
        url = f"http://{self.address}/v1/models/{model}/predict?{query}"
        with urlopen(Request(url, body, {"Content-Type": "application/json"})) as answer:
            return json.load(answer)
