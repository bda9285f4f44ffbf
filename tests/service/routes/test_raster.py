"""`detail=raster`: which neurons fired, in the same answer as their counts."""

from typing import Any

import numpy as np
import pytest

from tests.service.serving import Client, Serve, check
from tests.tiny import EVENT_STEP_US, EVENT_STEPS, moving_bar

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "/v1/models/tiny-image/predict?detail=raster"
EVENTS = "/v1/models/tiny-events/predict?detail=raster"
PLANE = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
BAR = moving_bar(np.random.default_rng(0), right=True)
INPUTS = {
    IMAGE: {"pixels": PLANE.tolist()},
    EVENTS: {"events": dict(zip("txyp", BAR.T.tolist(), strict=True))},
}


async def ask(client: Client, url: str, **changes: Any) -> dict[str, Any]:
    answer = await client.post(url, json={"inputs": [INPUTS[url] | changes]})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("url", INPUTS)
async def test_the_raster_adds_up_to_the_counts_of_its_answer(client: Client, url: str) -> None:
    prediction = await ask(client, url)
    spikes, raster = prediction["spikes"], prediction["raster"]
    assert [each["layer"] for each in raster] == ["conv1", "fc1", "vote"] == [each["name"] for each in spikes["layers"]]
    assert [sum(map(len, each["steps"])) for each in raster] == [each["spikes"] for each in spikes["layers"]]
    by_step = [sum(map(len, step)) for step in zip(*(each["steps"] for each in raster), strict=True)]
    assert by_step == spikes["timesteps"]
    for each in raster:
        assert int(np.prod(each["shape"])) == each["neurons"]
        assert all(step == sorted(set(step)) and max(step, default=0) < each["neurons"] for step in each["steps"])
    voters = raster[-1]["neurons"] // len(prediction["timesteps"][0]["scores"])
    for step, votes in zip(raster[-1]["steps"], prediction["timesteps"], strict=True):
        found = np.bincount(np.array(step, int) // voters, minlength=len(votes["scores"])) / voters
        assert found.tolist() == votes["scores"]


async def test_the_input_of_an_image_is_its_pixels_and_of_a_recording_its_events_by_step(client: Client) -> None:
    assert (await ask(client, IMAGE))["input"] == {"shape": [1, 8, 8], "frames": [PLANE.ravel().tolist()]}
    expected = np.zeros((EVENT_STEPS, 2, 8, 8), int)
    for t, x, y, p in BAR:
        expected[(t - BAR[0, 0]) // EVENT_STEP_US, p, y, x] = 1
    found = (await ask(client, EVENTS))["input"]
    assert found == {"shape": [2, 8, 8], "frames": expected.reshape(EVENT_STEPS, -1).tolist()}


async def test_an_early_exit_ends_the_raster_and_other_details_have_none(client: Client) -> None:
    answer = await client.post(f"{IMAGE}&exit=lossless", json={"inputs": [INPUTS[IMAGE]]})
    [prediction] = answer.json()["predictions"]
    assert {len(each["steps"]) for each in prediction["raster"]} == {prediction["steps_used"]}
    answer = await client.post(IMAGE.replace("raster", "timesteps"), json={"inputs": [INPUTS[IMAGE]]})
    assert {"raster", "input"}.isdisjoint(answer.json()["predictions"][0])


async def test_a_raster_is_bounded_before_anything_runs(tiny_store_root: Any, serve: Serve) -> None:
    async with serve(tiny_store_root, max_raster_values=3 * 4 * 292) as client:
        answer = await client.post(IMAGE, json={"inputs": [INPUTS[IMAGE]] * 3})
        assert len(answer.json()["predictions"]) == 3, answer.text
        refused = await client.post(IMAGE, json={"inputs": [INPUTS[IMAGE]] * 4})
        assert "SNN_MAX_RASTER_VALUES" in check(refused, 422, "invalid_parameter", "detail")
        refused = await client.post(f"{IMAGE}&draws=2", json={"inputs": [INPUTS[IMAGE]]})
        assert "draws" in check(refused, 422, "invalid_parameter", "detail")
