"""Requests that our route and TorchServe's handler must answer alike: images, recordings and JSON, with options."""

import base64
import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tests.tiny import moving_bar


@dataclass(frozen=True)
class Asking:
    name: str
    model: str
    version: int
    content: bytes
    kind: str
    options: dict[str, Any] = field(default_factory=dict)


def png(seed: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    shape = (*size, 3) if mode == "RGB" else size
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode).save(buffer, "PNG")
    return buffer.getvalue()


def csv(seed: int) -> bytes:
    events = moving_bar(np.random.default_rng(seed), right=bool(seed % 2))
    return "\n".join(["t,x,y,p", *(",".join(map(str, row)) for row in events.tolist())]).encode()


def as_json(*inputs: dict[str, Any]) -> bytes:
    return json.dumps({"inputs": list(inputs)}).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _pixels(seed: int) -> list[list[int]]:
    pixels: list[list[int]] = np.random.default_rng(seed).integers(0, 256, (8, 8)).tolist()
    return pixels


def _columns(seed: int) -> dict[str, list[int]]:
    events = moving_bar(np.random.default_rng(seed), right=bool(seed % 2))
    return {name: events[:, index].tolist() for index, name in enumerate("txyp")}


JSON, OCTETS, PNG = "application/json", "application/octet-stream", "image/png"

ALIKE = [
    Asking("image", "tiny-image", 1, png(1), PNG),
    Asking("image-of-version-2", "tiny-image", 2, png(1), PNG, {"seed": 7}),
    Asking("resized-colours", "tiny-direct", 1, png(2, (20, 30), "RGB"), PNG, {"detail": "layers", "top_k": 10}),
    Asking("image-as-octets", "tiny-image", 1, png(3), OCTETS, {"energy_profile": "loihi", "top_k": 1}),
    Asking(
        "json-images",
        "tiny-image",
        1,
        as_json({"image": _base64(png(4))}, {"pixels": _pixels(5), "seed": 2**63 - 1}, {"pixels": [_pixels(6)]}),
        JSON,
        {"detail": "timesteps", "seed": 3},
    ),
    Asking("many", "tiny-direct", 1, as_json(*({"pixels": _pixels(seed)} for seed in range(70))), JSON),
    Asking("recording", "tiny-events", 1, csv(1), OCTETS, {"format": "csv", "detail": "timesteps"}),
    Asking(
        "json-recordings",
        "tiny-events",
        1,
        as_json({"events": _columns(2)}, {"recording": _base64(csv(3)), "format": "csv"}, {"events": _columns(5)}),
        JSON,
        {"detail": "layers", "top_k": 2},
    ),
]
REFUSED = [
    Asking("not-an-image", "tiny-image", 1, b"nothing", PNG),
    Asking("empty", "tiny-image", 1, b"", PNG),
    Asking("not-json", "tiny-image", 1, b'{"inputs": [{"pixels": [[NaN]]}]}', JSON),
    Asking("name-twice", "tiny-image", 1, b'{"inputs": [], "inputs": []}', JSON),
    Asking("bad-second", "tiny-image", 1, as_json({"pixels": _pixels(1)}, {"pixels": [[300]]}), JSON),
    Asking("other-kind", "tiny-image", 1, as_json({"events": _columns(1)}), JSON),
    Asking("outside", "tiny-events", 1, b"t,x,y,p\n0,8,0,1\n", OCTETS, {"format": "csv"}),
    Asking("unknown-format", "tiny-events", 1, csv(1), OCTETS, {"format": "cvs"}),
    Asking("unknown-profile", "tiny-image", 1, png(1), PNG, {"energy_profile": "loiho"}),
    Asking("too-many-classes", "tiny-image", 1, png(1), PNG, {"top_k": 11}),
    Asking("no-classes", "tiny-image", 1, png(1), PNG, {"top_k": 0}),
    Asking("negative-seed", "tiny-image", 1, png(1), PNG, {"seed": -1}),
    Asking("too-many-inputs", "tiny-direct", 1, as_json(*([{"pixels": _pixels(1)}] * 257)), JSON),
]
