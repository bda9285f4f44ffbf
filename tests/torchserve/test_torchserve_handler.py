"""The handler inside of a real TorchServe, beside our own route."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.service.serving import serving
from tests.service.troubled import NAME, NOT_A_NUMBER, RAISES, SLOW
from tests.torchserve.requests import ALIKE, JSON, PNG, REFUSED, Asking, as_json, png
from tests.torchserve.server import QUEUE, TorchServe, write_archive

pytestmark = pytest.mark.torchserve


async def ask_ours(store: Path, asking: Asking) -> httpx.Response:
    async with serving(store) as client:
        return await client.post(
            f"/v1/models/{asking.model}/predict",
            params={**asking.options, "version": asking.version},
            content=asking.content,
            headers={"Content-Type": asking.kind},
        )


def ask(server: TorchServe, asking: Asking) -> httpx.Response:
    return server.predict(f"{asking.model}/{asking.version}", asking.content, asking.kind, asking.options)


@pytest.mark.parametrize("asking", ALIKE, ids=lambda asking: asking.name)
async def test_the_answer_is_our_routes_field_by_field(
    asking: Asking, server: TorchServe, torchserve_store: Path
) -> None:
    ours, theirs = await ask_ours(torchserve_store, asking), ask(server, asking)
    assert (ours.status_code, theirs.status_code) == (200, 200), theirs.text
    assert theirs.headers["content-type"] == "application/json"
    mine, found = ours.json(), theirs.json()
    assert found["predictions"] == mine["predictions"]
    assert found.keys() == mine.keys()
    assert found["timing"].keys() == mine["timing"].keys()
    assert (found["model"], found["version"]) == (asking.model, asking.version)


@pytest.mark.parametrize("asking", REFUSED, ids=lambda asking: asking.name)
async def test_bad_requests_are_refused_as_by_our_route(
    asking: Asking, server: TorchServe, torchserve_store: Path
) -> None:
    ours, theirs = await ask_ours(torchserve_store, asking), ask(server, asking)
    assert 400 <= ours.status_code < 500
    assert (theirs.status_code, theirs.json()) == (ours.status_code, ours.json())


def test_options_are_taken_from_the_query_where_torchserve_passes_it_on(server: TorchServe) -> None:
    answer = httpx.post(
        f"{server.url}/invocations",
        params={"model_name": "tiny-image", "top_k": 2, "seed": 5},
        content=png(1),
        headers={"Content-Type": PNG} | server.key(),
    )
    by_header = server.predict("tiny-image", png(1), PNG, {"top_k": 2, "seed": 5})
    assert len(answer.json()["predictions"][0]["top_k"]) == 2
    assert answer.json()["predictions"] == by_header.json()["predictions"]


def test_an_unknown_option_is_refused(server: TorchServe) -> None:
    answer = server.predict("tiny-image", png(1), PNG, {"topk": 1})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "topk")
    assert "'top_k'" in answer.json()["error"]["message"]


def test_forms_and_other_media_types_are_refused(server: TorchServe) -> None:
    url = f"{server.url}/predictions/tiny-image"
    as_form = httpx.post(url, files={"file": png(1)}, headers=server.key())
    for answer in (as_form, server.predict("tiny-image", b"<svg/>", "image/svg+xml")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_a_bad_sample_in_a_batch_fails_alone(server: TorchServe) -> None:
    seeds = [0, NOT_A_NUMBER, 1, RAISES, 2]
    bodies = [as_json({"pixels": [[9] * 8] * 8, "seed": seed}) for seed in seeds] + [b"{"]
    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(lambda body: server.predict(NAME, body, JSON), bodies))
    codes = [answer.json()["error"]["code"] if answer.status_code != 200 else None for answer in answers]
    assert codes == [None, "model_error", None, "internal_error", None, "invalid_json"]
    assert [answer.status_code for answer in answers] == [200, 500, 200, 500, 200, 400]
    alone = server.predict(NAME, bodies[0], JSON).json()["predictions"]
    assert answers[0].json()["predictions"] == alone


def test_requests_that_come_together_run_together(server: TorchServe) -> None:
    bodies = [as_json({"pixels": [[9] * 8] * 8, "seed": seed}) for seed in range(3)]
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda body: server.predict(NAME, body, JSON).json(), bodies))
    assert max(answer["timing"]["batch_size"] for answer in answers) > 1


def test_the_default_version_can_be_set(server: TorchServe) -> None:
    body = as_json({"pixels": [[200] * 8] * 8})
    by_version = [server.predict(f"tiny-image/{number}", body, JSON).json()["predictions"] for number in (1, 2)]
    assert by_version[0] != by_version[1]
    try:
        assert server.manage("PUT", "/models/tiny-image/2/set-default").status_code == 200
        answer = server.predict("tiny-image", body, JSON).json()
        assert (answer["version"], answer["predictions"]) == (2, by_version[1])
    finally:
        assert server.manage("PUT", "/models/tiny-image/1/set-default").status_code == 200
    assert server.predict("tiny-image", body, JSON).json()["version"] == 1


def test_a_worker_that_is_killed_is_started_again(server: TorchServe) -> None:
    before = server.predict("tiny-events/1", ALIKE[-2].content, ALIKE[-2].kind, ALIKE[-2].options)
    os.kill(server.worker("tiny-events"), signal.SIGKILL)
    deadline = time.monotonic() + 120
    while (after := ask(server, ALIKE[-2])).status_code != 200:
        assert after.status_code in (500, 503, 507), after.text
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert after.json()["predictions"] == before.json()["predictions"]


def test_what_does_not_fit_into_the_queue_is_refused_with_503_and_the_rest_answered(server: TorchServe) -> None:
    quick, slow = (as_json({"pixels": [[9] * 8] * 8, "seed": seed}) for seed in (0, SLOW))
    with ThreadPoolExecutor(3 * QUEUE + 1) as threads:
        held = threads.submit(server.predict, NAME, slow, JSON)
        time.sleep(0.6)  # the worker has taken it, and waits for no company any more
        answers = list(threads.map(lambda _: server.predict(NAME, quick, JSON), range(3 * QUEUE)))
    assert held.result().status_code == 200
    assert [answer.status_code for answer in answers].count(200) == QUEUE
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {(answer.status_code, answer.json()["type"]) for answer in refused} == {(503, "ServiceUnavailableException")}
    assert server.predict(NAME, quick, JSON).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_without_the_token_nothing_is_answered(headers: dict[str, str], server: TorchServe) -> None:
    for url in (f"{server.url}/predictions/tiny-image", f"{server.management}/models"):
        answer = httpx.request("POST" if "predictions" in url else "GET", url, headers=headers, content=png(1))
        assert (answer.status_code, answer.json()["type"]) == (
            400,
            "InvalidKeyException",
        )  # TorchServe's way to say 401
    by_the_other_key = httpx.get(f"{server.management}/models", headers=server.key("inference"))
    assert by_the_other_key.status_code == 400


def test_no_archive_is_fetched_from_elsewhere(server: TorchServe) -> None:
    fetched = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        Thread(target=elsewhere.serve_forever, daemon=True).start()
        for url in (f"http://127.0.0.1:{elsewhere.server_port}/evil.mar", "file:///etc/passwd"):
            answer = server.manage("POST", "/models", url=url)
            assert 400 <= answer.status_code < 500, answer.text
        elsewhere.shutdown()
    assert fetched == []


def test_the_shipped_configuration_serves_its_archives_to_this_computer_alone(
    torchserve_store: Path, tmp_path: Path
) -> None:
    write_archive(torchserve_store, "tiny-direct", 1, tmp_path)
    server = TorchServe(tmp_path)
    try:
        server.start()
        server.wait_for("/ping", lambda answer: '"Healthy"' in answer.text)
        answer = server.predict("tiny-direct", png(1), PNG)
        assert answer.status_code == 200, answer.text
        assert server.manage("POST", "/models", url="tiny-direct-1.mar").status_code == 405
        assert server.manage("DELETE", "/models/tiny-direct").status_code == 405
        assert server.key_file.stat().st_mode & 0o077 == 0
        metrics = httpx.get(f"{server.metrics}/metrics")
        assert "ts_inference_requests_total" in metrics.text
        settings = server.folder.joinpath("config.properties").read_text()
        assert all("127.0.0.1" in line for line in settings.splitlines() if "_address=" in line)
    finally:
        server.remove()
