"""Requests that cost little to send, and the bodies that make them so."""

import base64
import http.client
import io
import itertools
import json
import string
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

Address = tuple[str, int]
IMAGES, EVENTS = "/v1/models/digits-stl/predict", "/v1/models/nmnist-stl/predict"
JOBS = "/v1/fine_tuning/jobs"
BOUNDARY = "----------boundary"


@dataclass(frozen=True)
class Request:
    """A request as http.client sends it."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def send(address: Address, request: Request, *, timeout: float = 120) -> int:
    """Send a request on a connection of its own, read the whole answer and return its status."""
    return fetch(address, request, timeout=timeout)[0]


def fetch(address: Address, request: Request, *, timeout: float = 120) -> tuple[int, bytes]:
    """The same, with the answer's content."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def post(path: str, body: bytes, kind: str = "application/octet-stream", **headers: str) -> Request:
    """A POST request; underscores in the names of headers become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", path, body, {"Content-Type": kind} | named)


def post_json(path: str, body: bytes | object) -> Request:
    """A POST request of JSON, given as bytes or as an object."""
    return post(path, body if isinstance(body, bytes) else json.dumps(body).encode(), "application/json")


def upload(content: bytes, filename: str) -> Request:
    """A POST request that uploads a data set."""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'
    purpose = f'{part}purpose"\r\n\r\nfine-tune\r\n'
    file = f'{part}file"; filename="{filename}"\r\n\r\n'
    body = (purpose + file).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return post("/v1/files", body, f"multipart/form-data; boundary={BOUNDARY}")


def recording_npz(count: int) -> bytes:
    """A recording whose `count` events are all the same, so that it is packed a thousandfold."""
    buffer = io.BytesIO()
    zeros = np.zeros(count, np.int8)
    np.savez_compressed(buffer, t=zeros, x=zeros, y=zeros, p=zeros)
    return buffer.getvalue()


def recording_nmnist(count: int) -> bytes:
    """A recording of N-MNIST's five bytes an event."""
    return struct.pack(">BI", 1, 1 << 24) * count


def data_set_npz(images: int, side: int, labels: list[str] | None = None) -> bytes:
    """A data set of black images in ten classes, or with a label each."""
    buffer = io.BytesIO()
    y = np.arange(images) % 10 if labels is None else np.array(labels)
    np.savez_compressed(buffer, x=np.zeros((images, side, side), np.uint8), y=y)
    return buffer.getvalue()


def black_png(side: int, mode: str) -> bytes:
    """A black PNG image of `side` x `side` pixels."""
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def zip_of_images(count: int, image: bytes) -> bytes:
    """A data set of `count` copies of an image in two classes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number in range(count):
            archive.writestr(f"{number % 2}/{number}.png", image)
    return buffer.getvalue()


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG image with one of its scans repeated, each of which goes over all pixels."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 7).save(buffer, "JPEG", progressive=True, quality=50)
    data = buffer.getvalue()
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * scans + data[-2:]


def form_of_images(count: int, image: bytes) -> Request:
    """A prediction of many images, as parts of a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
    body = (head + image + b"\r\n") * count + f"--{BOUNDARY}--\r\n".encode()
    return post(IMAGES, body, f"multipart/form-data; boundary={BOUNDARY}", X_Request_Timeout_Ms="3000")


def json_numbers(count: int) -> bytes:
    """`count` zeros, separated by commas."""
    return b",".join([b"0"] * count)


def json_events(count: int) -> bytes:
    """A prediction of `count` events as lists of numbers."""
    lists = b",".join(b'"' + name.encode() + b'":[' + json_numbers(count) + b"]" for name in "txyp")
    return b'{"inputs":[{"events":{' + lists + b"}}]}"


def json_pixels(side: int) -> bytes:
    """A prediction of `side` x `side` pixels as nested lists."""
    row = b"[" + json_numbers(side) + b"]"
    return b'{"inputs":[{"pixels":[' + b",".join([row] * side) + b"]}]}"


def json_recording(count: int) -> bytes:
    """A prediction of a recording in base64."""
    return b'{"inputs":[{"format":"nmnist","recording":"' + base64.b64encode(recording_nmnist(count)) + b'"}]}'


def csv_events(count: int) -> bytes:
    """A recording as text."""
    return b"t,x,y,p\n" + b"0,1,1,0\n" * count


def many_names(count: int) -> str:
    """A query of so many different metadata filters."""
    names = itertools.product(string.ascii_letters + string.digits, repeat=3)
    return "&".join(f"metadata[{''.join(name)}]" for name in itertools.islice(names, count))
