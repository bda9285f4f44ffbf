"""The service in front of a TorchServe that is not there; with a real one, see tests/torchserve."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.settings import Settings
from tests.service.serving import Client, check, serving


@pytest.fixture
async def client(tiny_store_root: Path) -> AsyncIterator[Client]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with serving(tiny_store_root, backend="torchserve", torchserve_url=url) as client:
            yield client


PIXELS = {"inputs": [{"pixels": [[0] * 8] * 8}]}


async def test_a_prediction_is_refused_as_not_ready(client: Client) -> None:
    answer = await client.post("/v1/models/tiny-image/predict", json=PIXELS)
    assert "TorchServe" in check(answer, 503, "not_ready", None)
    assert answer.headers["retry-after"] == "1"


async def test_a_whole_batch_fails_with_one_try(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = await client.post("/v1/models/tiny-image/predict", json={"inputs": PIXELS["inputs"] * 20})
    check(answer, 503, "not_ready", None)
    assert caplog.text.count("TorchServe does not answer") == 1


async def test_bad_input_is_refused_before_it_would_be_sent(client: Client) -> None:
    answer = await client.post("/v1/models/tiny-image/predict", json={"inputs": [{"pixels": [[300]]}]})
    check(answer, 422, "invalid_image", "inputs[0]")


async def test_models_and_cards_come_from_the_store(client: Client) -> None:
    listed = (await client.get("/v1/models")).json()["data"]
    assert [model["name"] for model in listed] == ["tiny-direct", "tiny-events", "tiny-image"]
    assert (await client.get("/v1/models/tiny-image/versions/1")).json()["card"]["name"] == "tiny-image"


async def test_the_service_is_not_ready(client: Client) -> None:
    check(await client.get("/health/ready"), 503, "not_ready", None)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://host/path", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:8080"):
        Settings(torchserve_url=url)
