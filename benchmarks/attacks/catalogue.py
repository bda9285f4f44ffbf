"""The attacks by name."""

import json
import time

from benchmarks.attacks import requests as make
from benchmarks.attacks.attackers import Asking, Attacker, Holding, Prepare
from benchmarks.attacks.requests import EVENTS, IMAGES, JOBS, Address, Request, fetch, post, post_json, upload


def fixed(*attackers: Attacker) -> Prepare:
    """An attack that needs nothing from the service beforehand."""
    return lambda address: attackers


def packed_recordings() -> tuple[Attacker, ...]:
    return (Asking(16, (post(EVENTS, make.recording_npz(4_900_000)),)),)


def large_images() -> tuple[Attacker, ...]:
    return (Asking(24, (post(IMAGES, make.black_png(4096, "RGBA"), "image/png"),)),)


def image_archives() -> tuple[Attacker, ...]:
    return (Asking(2, (upload(make.zip_of_images(300, make.black_png(4096, "RGBA")), "a.zip"),)),)


def held_bodies() -> tuple[Attacker, ...]:
    size = 32 * 2**20
    head = (
        f"POST {IMAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {size}\r\nX-Request-Timeout-Ms: 300000\r\n\r\n"
    )
    return (Holding(8, head.encode() + b" " * (size - 1)),)


def slow_uploads() -> tuple[Attacker, ...]:
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=X\r\n"
        "Content-Length: 1000000\r\nX-Request-Timeout-Ms: 300000\r\n\r\n--X\r\n"
    )
    return (Holding(16, head.encode()),)


def unread_answers() -> tuple[Attacker, ...]:
    return (Holding(100, b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60, small_buffer=True),)


def a_job(address: Address, metadata: dict[str, str] | None = None) -> str:
    """Upload a small data set and queue a job of it; returns the job's id."""
    _, content = fetch(address, upload(make.data_set_npz(100, 8), "a.npz"))
    wanted = {"model": "digits-stl", "training_file": json.loads(content)["id"], "metadata": metadata or {}}
    status, content = fetch(address, post_json(JOBS, wanted))
    if status not in (200, 201):
        raise SystemExit(f"a job was refused with {status}: {content[:200]!r}")
    return str(json.loads(content)["id"])


def job_filters(address: Address) -> tuple[Attacker, ...]:
    """Filters that no job passes, over as many queued jobs as the service takes, at most 2,000."""
    _, content = fetch(address, Request("GET", f"{JOBS}/{a_job(address, {'a': 'c'})}"))
    wanted = {"model": "digits-stl", "training_file": json.loads(content)["training_file"], "metadata": {"a": "c"}}
    for _ in range(2000):
        if fetch(address, post_json(JOBS, wanted))[0] != 201:
            break
    query = "&".join(f"metadata[{name}]=b" for name in "abcdef")
    return (Asking(6, (Request("GET", f"{JOBS}?{query}"),)),)


def job_streams(address: Address) -> tuple[Attacker, ...]:
    """Event streams of one queued job."""
    head = f"GET {JOBS}/{a_job(address)}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    return (Holding(200, head.encode()),)


def everything_large() -> tuple[Attacker, ...]:
    """What needs much memory, at once."""
    return packed_recordings() + large_images() + image_archives() + json_lists()


def json_lists() -> tuple[Attacker, ...]:
    bodies = (post_json(EVENTS, make.json_events(2_000_000)), post_json(IMAGES, make.json_pixels(4000)))
    return (Asking(4, bodies),)


def million_labels() -> tuple[Attacker, ...]:
    labels = [f"label {number:07}" for number in range(1_000_000)]
    data = make.data_set_npz(1_000_000, 1, labels)
    return (Asking(2, (upload(data, "a.npz"), Request("GET", "/v1/files?limit=100"))),)


def unknown_models() -> tuple[Attacker, ...]:
    names = [post_json(f"/v1/models/nothing-{time.time_ns()}-{number}/predict", {}) for number in range(5000)]
    return (Asking(8, tuple(names)),)


CATALOGUE: dict[str, Prepare] = {
    "nothing": fixed(),
    "16 packed recordings of 4.9 million events": lambda _: packed_recordings(),
    "24 images of 4096 x 4096 in 65 kB": lambda _: large_images(),
    "2 archives of 300 such images": lambda _: image_archives(),
    "all of these, and JSON lists": lambda _: everything_large(),
    "JSON lists of 2 million events, of 16 million pixels": lambda _: json_lists(),
    "JSON recording of 4.9 million events": lambda _: (
        Asking(2, (post_json(EVENTS, make.json_recording(4_900_000)),)),
    ),
    "JSON of 16 million inputs": lambda _: (
        Asking(2, (post_json(IMAGES, b'{"inputs":[' + make.json_numbers(16_000_000) + b"]}"),)),
    ),
    "CSV of 4 million events": lambda _: (Asking(2, (post(EVENTS, make.csv_events(4_100_000)),)),),
    "6 JPEG images of 20,000 scans": lambda _: (
        Asking(6, (post(IMAGES, make.jpeg_of_scans(4096, 20_000), "image/jpeg", X_Request_Timeout_Ms="3000"),)),
    ),
    "6 forms of 256 large images": lambda _: (Asking(6, (make.form_of_images(256, make.black_png(4096, "L")),)),),
    "8 bodies without their last byte": lambda _: held_bodies(),
    "16 uploads without a body": lambda _: slow_uploads(),
    "100 clients that do not read": lambda _: unread_answers(),
    "1,500 idle connections": fixed(Holding(1500, b"")),
    "a query of 4,600 names": lambda _: (Asking(2, (Request("GET", f"{JOBS}?{make.many_names(4600)}"),)),),
    "8 clients of /openapi.json": fixed(Asking(8, (Request("GET", "/openapi.json"),))),
    "8 clients of unknown models": lambda _: unknown_models(),
    "2 uploads of a million labels": lambda _: million_labels(),
    "200 event streams of a job": job_streams,
    "6 metadata filters over all jobs": job_filters,
}
