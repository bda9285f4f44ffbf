"""What every refusal must be like, and that the service goes on after it."""

import re
import sys
from functools import cache
from io import BytesIO
from typing import Any

import httpx
import numpy as np
from PIL import Image

from tests.service.serving import Client, check

IMAGE = "/v1/models/tiny-image/predict"
EVENTS = "/v1/models/tiny-events/predict"
JSON = {"Content-Type": "application/json"}
PNG = {"Content-Type": "image/png"}
OCTETS = {"Content-Type": "application/octet-stream"}
GOOD = {"inputs": [{"pixels": [[9] * 8] * 8}]}

_INSIDE = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|/tmp|/usr|/home|object at 0x|<class"
    r"|\b[A-Z]\w*(?:Error|Exception|Warning)\b"
)
_SEVERAL_HUMPS = re.compile(r"[A-Z][a-z]+[A-Z]\w*")


def png(pixels: Any = None) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8) if pixels is None else np.asarray(pixels, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def check_shows_no_inside(text: str) -> None:
    """No path, no trace, and no name of a class."""
    assert not _INSIDE.search(text), text
    assert not _class_names().intersection(re.findall(r"\w+", text)), text


@cache
def _class_names() -> frozenset[str]:
    """The names of the service's classes that are no plain words."""
    modules = [module for name, module in sys.modules.items() if name.startswith("service.")]
    found = {value.__name__ for module in modules for value in vars(module).values() if isinstance(value, type)}
    assert "PredictBody" in found
    return frozenset(name for name in found if _SEVERAL_HUMPS.fullmatch(name))


def check_refused(answer: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """The one body of every failure, which shows nothing of the inside; returns its message."""
    check_shows_no_inside(answer.text)
    message = check(answer, status, code, param)
    assert len(message) <= 1010
    return message


async def refused(
    client: Client, url: str, status: int, code: str, param: str | None = None, *, method: str = "POST", **request: Any
) -> str:
    """Send a request that must be refused, and then one that must be answered."""
    message = check_refused(await client.request(method, url, **request), status, code, param)
    await check_still_answers(client)
    return message


async def check_still_answers(client: Client) -> None:
    answer = await client.post(IMAGE, json=GOOD)
    assert answer.status_code == 200, answer.text
