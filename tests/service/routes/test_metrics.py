from pathlib import Path

import pytest

from tests.service.prometheus import parse
from tests.service.serving import Client, Serve

pytestmark = pytest.mark.asyncio(loop_scope="module")

INPUT = {"inputs": [{"pixels": [[200] * 8] * 8}] * 3}


async def samples(client: Client) -> dict[str, float]:
    """Every sample by its name and its labels' values."""
    text = (await client.get("/metrics")).text
    return {
        " ".join([name, *(f"{key}={each}" for key, each in sorted(labels))]): value
        for (name, labels), value in parse(text).items()
    }


async def test_what_was_answered_is_counted(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        answer = (await client.post("/v1/models/tiny-image/predict", json=INPUT)).json()
        await client.post("/v1/models/tiny-image/predict", json={})
        found = await samples(client)
        route = "method=POST model=tiny-image route=/v1/models/{name}/predict"
        assert found[f"snn_requests_total {route} status=200"] == 1
        assert found[f"snn_requests_total {route} status=422"] == 1
        assert found[f"snn_request_duration_seconds_count {route}"] == 2
        predictions = answer["predictions"]
        assert found["snn_predictions_total model=tiny-image"] == 3
        assert found["snn_spikes_total model=tiny-image"] == sum(each["spikes"]["total"] for each in predictions)
        assert found["snn_synaptic_operations_total model=tiny-image operation=ac"] == sum(
            each["energy"]["accumulates"] for each in predictions
        )
        assert found["snn_energy_estimate_joules_total model=tiny-image profile=cmos-45nm"] == pytest.approx(
            sum(each["energy"]["estimate_nj"] for each in predictions) * 1e-9
        )
        assert found["snn_batch_size_sum model=tiny-image"] == 3
        assert found["snn_requests_in_flight"] == 1  # the request for the metrics
        assert found["snn_queue_wait_seconds_count model=tiny-image"] == 1
        assert found["snn_compute_seconds_count model=tiny-image"] >= 1
        assert found["snn_compute_seconds_sum model=tiny-image"] == found["snn_device_seconds_total model=tiny-image"]
        assert not [name for name in found if "_created" in name]
        assert found["snn_queue_depth"] == 0
        assert found["snn_models_loaded"] == 3


async def test_callers_cannot_make_new_label_values(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        for number in range(5):
            await client.get(f"/nothing/{number}")
            await client.get(f"/v1/models/nothing-{number}")
            await client.post(f"/v1/models/nothing-{number}/predict", json=INPUT)
            await client.request(f"METHOD{number}", "/v1/models")
        labels = " ".join(await samples(client))
        assert "nothing" not in labels
        assert "METHOD" not in labels
