import asyncio
import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.errors import Overloaded
from service.engine.interface import EventSample, ImageSample
from tests.drawn_photos import drawn_photo
from tests.service.serving import Client, Serve, check
from tests.tiny import moving_bar

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANE = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
BAR = moving_bar(np.random.default_rng(0), right=True)
IMAGE = "/v1/models/tiny-image/predict"
DIRECT = "/v1/models/tiny-direct/predict"
EVENTS = "/v1/models/tiny-events/predict"


def encoded(plane: Any = PLANE, format: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.fromarray(plane).save(buffer, format)
    return buffer.getvalue()


def csv(events: Any = BAR) -> bytes:
    return b"t,x,y,p\n" + b"".join(b"%d,%d,%d,%d\n" % tuple(row) for row in events.tolist())


def without_timing(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("id", "timing")}


async def raw(client: Client, path: str, data: bytes, kind: str, **query: Any) -> Any:
    answer = await client.post(path, content=data, headers={"Content-Type": kind}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_answer_says_what_the_checkpoint_did(client: Client) -> None:
    answer = await raw(client, IMAGE, encoded(), "image/png", seed=5, top_k=2, detail="layers")
    _, engine = await client.runtime.registry.get("tiny-image", None, timeout=10)
    card = engine.card
    [activity] = engine.run([ImageSample(PLANE[None], seed=5)])
    scores = activity.scores.sum(axis=0) / (card.timesteps * card.voters)
    best = np.argsort(-scores, kind="stable")[:2].tolist()
    [prediction] = answer["predictions"]
    assert (answer["model"], answer["version"]) == ("tiny-image", 1)
    assert prediction["top_k"] == [{"class_id": k, "label": str(k), "score": scores[k]} for k in best]
    assert prediction["preprocessing"] is None
    assert prediction["spikes"]["total"] == activity.spikes.sum()
    assert prediction["spikes"]["input"] == activity.input
    assert [each["spikes"] for each in prediction["spikes"]["layers"]] == activity.spikes.sum(axis=0).tolist()
    assert prediction["energy"]["accumulates"] == activity.synops.sum()
    assert prediction["energy"]["multiply_accumulates"] == 0
    timing = answer["timing"]
    assert timing["batch_size"] >= 1
    assert 0 < timing["compute_ms"] <= timing["total_ms"]


async def test_the_same_image_gets_the_same_answer_in_every_body(client: Client) -> None:
    expected = without_timing(await raw(client, IMAGE, encoded(), "image/png"))
    octets = await raw(client, IMAGE, encoded(), "application/octet-stream")
    bare = await raw(client, IMAGE, PLANE.tobytes(), "application/octet-stream", format="tensor")
    form = await client.post(IMAGE, files=[("file", ("digit.png", encoded()))])
    text = base64.b64encode(encoded()).decode()
    assert without_timing(octets) == without_timing(bare) == without_timing(form.json()) == expected
    for given in ({"image": text}, {"pixels": PLANE.tolist()}, {"pixels": [PLANE.tolist()]}):
        answer = await client.post(IMAGE, json={"inputs": [given]})
        assert without_timing(answer.json()) == expected


async def test_draws_decide_jointly(client: Client) -> None:
    answer = await raw(client, IMAGE, encoded(), "image/png", seed=5, draws=3, decision="vote")
    [prediction] = answer["predictions"]
    assert (prediction["joint"]["decision"], prediction["joint"]["draws"]) == ("vote", 3)
    alone = await raw(client, IMAGE, encoded(), "image/png", seed=5)
    assert "joint" not in alone["predictions"][0]
    assert prediction["joint"]["decisions"][0]["class_id"] == alone["predictions"][0]["class_id"]
    for path, param in (
        (f"{DIRECT}?draws=3", "draws"),
        (f"{IMAGE}?draws=33", "draws"),
        (f"{IMAGE}?draws=0", "draws"),
        (f"{IMAGE}?draws=2&decision=most", "decision"),
    ):
        refused = await client.post(path, content=encoded(), headers={"Content-Type": "image/png"})
        check(refused, 422, "invalid_parameter", param)


async def test_the_same_recording_gets_the_same_answer_in_every_body(client: Client) -> None:
    expected = without_timing(await raw(client, EVENTS, csv(), "application/octet-stream", format="csv"))
    sniffed = await raw(client, EVENTS, csv(), "application/octet-stream")
    form = await client.post(EVENTS, files=[("file", ("bar.csv", csv()))])
    lists = {"events": dict(zip("txyp", BAR.T.tolist(), strict=True))}
    file = {"recording": base64.b64encode(csv()).decode(), "format": "csv"}
    assert without_timing(sniffed) == without_timing(form.json()) == expected
    for given in (lists, file):
        answer = await client.post(EVENTS, json={"inputs": [given]})
        assert without_timing(answer.json()) == expected
    [prediction] = expected["predictions"]
    assert prediction["preprocessing"] == {
        "events": len(BAR),
        "events_used": int((BAR[:, 0] - BAR[0, 0] < 5000).sum()),
        "span_us": int(BAR[-1, 0] - BAR[0, 0]),
    }
    _, engine = await client.runtime.registry.get("tiny-events", None, timeout=10)
    [activity] = engine.run([EventSample(BAR)])
    assert prediction["spikes"]["total"] == activity.spikes.sum()


async def test_several_inputs_are_answered_in_order_and_each_as_if_alone(client: Client) -> None:
    planes = np.random.default_rng(1).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    alone = [(await raw(client, IMAGE, encoded(plane), "image/png"))["predictions"][0] for plane in planes]
    form = await client.post(IMAGE, files=[("file", (f"{n}.png", encoded(plane))) for n, plane in enumerate(planes)])
    listed = await client.post(IMAGE, json={"inputs": [{"pixels": plane.tolist()} for plane in planes]})
    for together in (form.json()["predictions"], listed.json()["predictions"]):
        assert [each["index"] for each in together] == [0, 1, 2, 3, 4]
        assert [each | {"index": 0} for each in together] == alone


async def test_concurrent_requests_share_a_batch_and_do_not_change_each_other(client: Client) -> None:
    planes = np.random.default_rng(2).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    alone = [without_timing(await raw(client, IMAGE, encoded(plane), "image/png")) for plane in planes]
    together = await asyncio.gather(*(raw(client, IMAGE, encoded(plane), "image/png") for plane in planes))
    assert [without_timing(each) for each in together] == alone
    assert max(each["timing"]["batch_size"] for each in together) > 1


async def test_a_seed_repeats_and_another_one_differs(client: Client) -> None:
    default = without_timing(await raw(client, IMAGE, encoded(), "image/png"))
    zero = without_timing(await raw(client, IMAGE, encoded(), "image/png", seed=0))
    one = without_timing(await raw(client, IMAGE, encoded(), "image/png", seed=1))
    last = without_timing(await raw(client, IMAGE, encoded(), "image/png", seed=2**63 - 1))
    assert default == zero
    assert one["predictions"][0]["spikes"] != zero["predictions"][0]["spikes"]
    assert last["predictions"][0]["spikes"] != zero["predictions"][0]["spikes"]
    own = {"inputs": [{"pixels": PLANE.tolist(), "seed": 1}, {"pixels": PLANE.tolist()}]}
    both = (await client.post(IMAGE, json=own, params={"seed": 0})).json()["predictions"]
    assert both[0]["spikes"] == one["predictions"][0]["spikes"]
    assert both[1]["spikes"] == zero["predictions"][0]["spikes"]


async def test_what_was_done_to_an_image_is_told(client: Client) -> None:
    wide = encoded(np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    [prediction] = (await raw(client, IMAGE, wide, "image/png"))["predictions"]
    assert prediction["preprocessing"] == {"resized_from": [20, 30], "converted_from": "RGB"}


async def test_a_large_image_is_decoded_too(client: Client) -> None:
    noise = encoded(np.random.default_rng(4).integers(0, 256, (600, 600), dtype=np.uint8))
    [prediction] = (await raw(client, IMAGE, noise, "image/png"))["predictions"]
    assert prediction["preprocessing"] == {"resized_from": [600, 600]}


async def test_direct_coding_counts_multiply_accumulates(client: Client) -> None:
    [prediction] = (await raw(client, DIRECT, encoded(), "image/png"))["predictions"]
    energy = prediction["energy"]
    first, *others = energy["layers"]
    assert first["multiply_accumulates"] == energy["multiply_accumulates"] > 0
    assert first["accumulates"] == 0
    assert all(each["multiply_accumulates"] == 0 for each in others)


async def test_the_energy_profile_can_be_chosen(client: Client) -> None:
    plain = (await raw(client, IMAGE, encoded(), "image/png"))["predictions"][0]["energy"]
    chip = (await raw(client, IMAGE, encoded(), "image/png", energy_profile="loihi"))["predictions"][0]["energy"]
    assert (plain["profile"], chip["profile"]) == ("cmos-45nm", "loihi")
    assert chip["accumulates"] == plain["accumulates"]
    assert chip["estimate_nj"] == pytest.approx(plain["estimate_nj"] / 0.9 * 23.6)
    assert chip["ann_equivalent_nj"] == plain["ann_equivalent_nj"]


async def test_the_time_steps_add_up_to_the_whole(client: Client) -> None:
    [prediction] = (await raw(client, IMAGE, encoded(), "image/png", detail="timesteps", top_k=10))["predictions"]
    steps = prediction["timesteps"]
    assert [each["step"] for each in steps] == [0, 1, 2, 3]
    assert sum(prediction["spikes"]["timesteps"]) == prediction["spikes"]["total"]
    mean = np.mean([each["scores"] for each in steps], axis=0)
    assert mean[prediction["class_id"]] == prediction["score"] == mean.max()
    assert "layers" not in prediction["spikes"]


async def test_top_k_is_five_or_all_classes_where_there_are_fewer(client: Client) -> None:
    [image] = (await raw(client, IMAGE, encoded(), "image/png"))["predictions"]
    [recording] = (await raw(client, EVENTS, csv(), "application/octet-stream"))["predictions"]
    assert (len(image["top_k"]), len(recording["top_k"])) == (5, 2)
    assert image["top_k"][0] == {key: image[key] for key in ("class_id", "label", "score")}


async def test_a_version_that_is_not_the_default_loads_when_it_is_asked_for(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        before = (await client.get("/v1/models/tiny-image/versions/2")).json()["state"]
        answer = await raw(client, IMAGE, encoded(), "image/png", version=2)
        after = (await client.get("/v1/models/tiny-image/versions/2")).json()["state"]
        assert (before, answer["version"], after) == ("available", 2, "ready")


async def test_a_load_that_outlasts_the_callers_time_is_not_ready_yet(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        headers = {"X-Request-Timeout-Ms": "1", "Content-Type": "image/png"}
        answer = await client.post(IMAGE, content=encoded(), headers=headers, params={"version": 2})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        assert "retry-after" in answer.headers
        again = await raw(client, IMAGE, encoded(), "image/png", version=2)
        assert again["version"] == 2


async def test_a_broken_version_says_so_and_harms_no_other(store_root: Path, serve: Serve) -> None:
    (store_root / "tiny-image" / "2" / "model.pt").write_bytes(b"not a checkpoint")
    async with serve(store_root) as client:
        path = "/v1/models/tiny-image/predict"
        broken = await client.post(
            path, content=encoded(), headers={"Content-Type": "image/png"}, params={"version": 2}
        )
        assert (broken.status_code, broken.json()["error"]["code"]) == (503, "model_failed_to_load")
        assert str(store_root) not in broken.text
        assert (await raw(client, path, encoded(), "image/png"))["version"] == 1


async def test_a_full_queue_is_told_with_the_time_to_come_back(store_root: Path, serve: Serve) -> None:
    async with serve(store_root, max_queue_size=1, max_batch_size=1) as client:
        headers = {"Content-Type": "image/png"}
        many = [client.post(IMAGE, content=encoded(), headers=headers) for _ in range(40)]
        answers = await asyncio.gather(*many)
        refused = [each for each in answers if each.status_code != 200]
        assert refused
        assert len(refused) < len(answers)
        for each in refused:
            assert (each.status_code, each.json()["error"]["code"]) == (429, Overloaded.code)
            assert each.headers["retry-after"] == "1"


async def test_a_request_larger_than_a_batch_is_split(store_root: Path, serve: Serve) -> None:
    planes = np.random.default_rng(5).integers(0, 256, (9, 8, 8), dtype=np.uint8)
    async with serve(store_root, max_batch_size=4) as client:
        answer = await client.post(IMAGE, json={"inputs": [{"pixels": plane.tolist()} for plane in planes]})
        assert len(answer.json()["predictions"]) == 9
        assert answer.json()["timing"]["batch_size"] == 4


async def test_a_large_answer_is_sent_whole_and_one_beyond_the_limit_is_refused(
    tiny_store_root: Path, serve: Serve
) -> None:
    async with serve(tiny_store_root, max_answer_bytes=600_000) as client:
        inputs = [{"pixels": PLANE.tolist()}]
        for count in (1, 150):
            answer = await client.post(f"{IMAGE}?detail=layers", json={"inputs": inputs * count})
            assert len(answer.json()["predictions"]) == count, answer.text
            assert int(answer.headers["content-length"]) == len(answer.content)
        assert len(answer.content) > 64 * 1024
        assert client.runtime.predictor.answer_bytes.held == 0
        refused = await client.post(f"{IMAGE}?top_k=10", json={"inputs": inputs * 256})
        assert "lower top_k, or send fewer inputs" in check(refused, 413, "answer_too_large", "top_k")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/x-www-form-urlencoded"}])
async def test_a_body_without_a_chosen_type_is_told_by_its_content(client: Client, headers: dict[str, str]) -> None:
    expected = without_timing(await raw(client, IMAGE, encoded(), "image/jpg"))
    for body in (encoded(), json.dumps({"inputs": [{"pixels": PLANE.tolist()}]}).encode()):
        answer = await client.post(IMAGE, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert without_timing(answer.json()) == expected


async def test_a_photo_is_brought_to_what_the_model_knows_as_the_query_asks(client: Client) -> None:
    told = await raw(client, IMAGE, drawn_photo(3, 0), "image/jpeg", invert="auto", background="auto")
    done = told["predictions"][0]["preprocessing"]
    assert done["inverted"] is True
    assert set(done) == {"resized_from", "converted_from", "inverted", "background", "window"}
    for query, param in ({"fit": "scale"}, "fit"), ({"window": "0,0,8,8"}, "window"):
        refused = await client.post(IMAGE, params=query, content=encoded(), headers={"Content-Type": "image/png"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, param)
    for name, value in ("invert", "auto"), ("background", "auto"), ("fit", "pad"):
        refused = await client.post(EVENTS, params={name: value}, content=csv())
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, name)
