"""`POST /v1/models/{name}/predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from stl_snn_client.answers import PredictAnswer
from stl_snn_client.call import Call, Query, json_body, path, query, read_json
from stl_snn_client.inputs import as_input

TENSOR = "tensor"


def predict(
    model: str,
    *inputs: Any,
    version: int | None = None,
    detail: Literal["summary", "layers", "timesteps", "raster"] | None = None,
    top_k: int | None = None,
    seed: int | None = None,
    energy_profile: str | None = None,
    energy: str | Sequence[str] | None = None,
    format: str | None = None,
    camera: str | None = None,
    exit: Literal["none", "lossless", "confident"] | None = None,
    draws: int | None = None,
    decision: Literal["mean", "vote", "confidence"] | None = None,
    timeout: float | None = None,
    **parameters: Query,
) -> Call[PredictAnswer]:
    """Classify one or more inputs.

    An input is a file (its path, or its content as bytes), an array of pixels (uint8 `[H, W]` or `[C, H, W]`), an array
    of events with fields t, x, y and p, or what `image`, `pixels`, `events` and `recording` return. With
    `format="tensor"` the only input is bytes or a contiguous array in the model's own shape, one or more samples.

    `timeout` is in seconds, and the service ends the request by then. All other arguments are parameters of the
    route's query; those that this package does not name are passed on as they are.
    """
    if not inputs:
        raise ValueError("predict needs at least one input")
    files = [_named(each, index) for index, each in enumerate(inputs) if isinstance(each, str | Path | bytes)]
    body: dict[str, Any]
    if format == TENSOR:
        if len(inputs) != 1:
            raise ValueError("format='tensor' takes one input, an array of all samples")
        data = inputs[0] if isinstance(inputs[0], bytes) else memoryview(inputs[0]).tobytes()
        body = {"content": data, "headers": {"Content-Type": "application/octet-stream"}}
    elif len(files) == len(inputs):
        body = {"files": files}
    else:
        content, headers = json_body({"inputs": [dict(as_input(each)) for each in inputs]})
        body = {"content": content, "headers": headers}
    params = query(
        version=version,
        detail=detail,
        top_k=top_k,
        seed=seed,
        energy_profile=energy_profile,
        energy=energy,
        format=format,
        camera=camera,
        exit=exit,
        draws=draws,
        decision=decision,
        **parameters,
    )
    return Call("POST", path("/v1/models/{}/predict", model), read_json, params=params, timeout=timeout, **body)


def _named(file: str | Path | bytes, index: int) -> tuple[str, str | Path | bytes]:
    """A file and its name, from which the service may tell its format."""
    return (f"input-{index}" if isinstance(file, bytes) else Path(file).name), file
