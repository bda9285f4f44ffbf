"""Requests of the Open Inference Protocol as bytes, and what the binary parts of responses hold."""

import json
import struct
from io import BytesIO
from typing import Any

import httpx
import numpy as np
from PIL import Image

JSON_BYTES = "Inference-Header-Content-Length"
_DTYPES = {"UINT8": "u1", "INT64": "<i8", "FP64": "<f8"}


def given(name: str, datatype: str, shape: Any, data: Any = None, **parameters: Any) -> dict[str, Any]:
    """An input as JSON."""
    tensor = {"name": name, "datatype": datatype, "shape": list(shape)}
    return tensor | ({} if data is None else {"data": data}) | ({"parameters": parameters} if parameters else {})


def asked(tensor: dict[str, Any], *outputs: str, **parameters: Any) -> dict[str, Any]:
    """A request for `outputs` as JSON."""
    return {
        "inputs": [tensor],
        "outputs": [{"name": name} for name in outputs],
        "parameters": parameters,
    }


def strings(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def binary(name: str, datatype: str, shape: Any, elements: bytes, **of_input: Any) -> dict[str, Any]:
    """An input whose elements follow the JSON."""
    return given(name, datatype, shape, binary_data_size=len(elements), **of_input)


def packed(request: dict[str, Any], elements: bytes) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with binary data."""
    head = json.dumps(request).encode()
    return head + elements, {JSON_BYTES: str(len(head))}


def png(plane: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(plane).save(buffer, "PNG")
    return buffer.getvalue()


def csv(events: Any) -> bytes:
    return b"t,x,y,p\n" + b"".join(b"%d,%d,%d,%d\n" % tuple(row) for row in events.tolist())


def unpacked(answer: httpx.Response) -> dict[str, Any]:
    """The values of the outputs by name, from JSON and from binary data."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(JSON_BYTES, len(answer.content)))
    rest = answer.content[length:]
    found: dict[str, Any] = {}
    for output in json.loads(answer.content[:length])["outputs"]:
        if "data" in output:
            values = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            values, rest = _values(output["datatype"], rest[:size]), rest[size:]
        shape = output["shape"]
        assert len(values) == int(np.prod(shape))
        found[output["name"]] = (
            values if len(shape) == 1 else [values[at : at + shape[1]] for at in range(0, len(values), shape[1])]
        )
    assert not rest
    return found


def _values(datatype: str, data: bytes) -> list[Any]:
    if datatype != "BYTES":
        return list(np.frombuffer(data, _DTYPES[datatype]).tolist())
    values = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        values.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return values
