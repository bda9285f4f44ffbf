"""Predictions through both clients, with inputs of every kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stl_snn_client import AsyncClient, Client, Invalid, events, image, pixels, recording
from tests.stl_snn_client.running import Service
from tests.tiny import moving_bar

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
BAR = moving_bar(np.random.default_rng(1), right=True)
PACKED = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])


def table() -> np.ndarray:
    found = np.empty(len(BAR), PACKED)
    for index, name in enumerate("txyp"):
        found[name] = BAR[:, index]
    return found


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "digit.png"
    Image.fromarray(PIXELS).save(path)
    return path


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "bar.csv"
    path.write_text("\n".join(["t,x,y,p", *(",".join(map(str, event)) for event in BAR.tolist())]))
    return path


def scores(answer: Any) -> list[Any]:
    return [(each["top_k"], each["spikes"]["total"]) for each in answer["predictions"]]


def test_an_image_is_the_same_however_it_is_given(client: Client, png: Path) -> None:
    model = "tiny-image"
    files = scores(client.predict(model, png, str(png), png.read_bytes()))
    json = scores(client.predict(model, image(png), image(png.read_bytes()), pixels(PIXELS), PIXELS, PIXELS.tolist()))
    tensor = scores(client.predict(model, np.stack([PIXELS[None]] * 2), format="tensor"))
    assert len(files + json + tensor) == 10
    assert all(each == files[0] for each in files + json + tensor)
    assert scores(client.predict(model, PIXELS.tobytes(), format="tensor")) == files[:1]


def test_a_recording_is_the_same_however_it_is_given(client: Client, csv: Path) -> None:
    columns = {name: BAR[:, index].tolist() for index, name in enumerate("txyp")}
    found = scores(client.predict("tiny-events", recording(csv), recording(csv, format="csv"), events(columns)))
    found += scores(client.predict("tiny-events", table(), events(table())))
    found += scores(client.predict("tiny-events", csv)) + scores(client.predict("tiny-events", csv, format="csv"))
    assert len(found) == 7
    assert all(each == found[0] for each in found)


async def test_both_clients_answer_alike(service: Service, client: Client) -> None:
    options: dict[str, Any] = {"version": 2, "detail": "timesteps", "top_k": 1, "seed": 3, "energy_profile": "loihi"}
    options |= {"energy": ["operations", "memory-yan"], "timeout": 30}
    answer = client.predict("tiny-image", PIXELS, **options)
    [prediction] = answer["predictions"]
    assert (answer["version"], len(prediction["top_k"]), len(prediction["timesteps"])) == (2, 1, 4)
    assert prediction["energy"]["profile"] == "loihi"
    assert len(prediction["energy"]["estimates"]) == 2
    async with AsyncClient(service.url, api_key="right") as other:
        assert (await other.predict("tiny-image", PIXELS, **options))["predictions"] == answer["predictions"]


def test_inputs_have_seeds_of_their_own(client: Client) -> None:
    same, other = client.predict("tiny-image", pixels(PIXELS, seed=5), pixels(PIXELS), seed=5)["predictions"]
    assert same["spikes"] == other["spikes"]
    assert client.predict("tiny-image", pixels(PIXELS, seed=6), seed=5)["predictions"][0]["spikes"] != same["spikes"]


def test_a_parameter_that_the_package_does_not_know_is_passed_on(client: Client) -> None:
    with pytest.raises(Invalid) as raised:
        client.predict("tiny-image", PIXELS, flip=True)
    assert raised.value.param == "flip"
    [prediction] = client.predict("tiny-events", table(), window=(0, 0, 8, 8), flip_y=True)["predictions"]
    assert prediction["preprocessing"] is not None
    assert (prediction["preprocessing"]["window"], prediction["preprocessing"]["flipped_y"]) == ([0, 0, 8, 8], True)


@pytest.mark.parametrize(
    ("inputs", "options", "error"),
    [
        ((), {}, ValueError),
        ((b"file", PIXELS), {}, TypeError),
        ((PIXELS.astype(np.float32),), {}, ValueError),
        ((PIXELS[0],), {}, ValueError),
        ((PIXELS, PIXELS), {"format": "tensor"}, ValueError),
        ((events,), {}, TypeError),
    ],
)
def test_what_is_no_input_is_refused_before_it_is_sent(
    client: Client, inputs: tuple[Any, ...], options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.predict("tiny-image", *inputs, **options)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        events({"t": [1], "x": [1], "y": [1], "p": []})
