"""The views Models, Now, Fine-tune and Live, each against a real service and worker."""

import base64
import json
import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.service.process import ROOT
from training.data import Images, load_dataset

if TYPE_CHECKING:
    from tests.browser.world import Open

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 240_000  # a training has a low priority on a machine that may have much else to do


def digits(samples: int) -> dict[str, Any]:
    """A data set of the ten digits, as an upload."""
    found = load_dataset("digits").train
    assert isinstance(found, Images)
    buffer = BytesIO()
    np.savez(buffer, x=found.pixels[:samples].numpy(), y=found.labels[:samples].numpy())
    return {"name": "<b>digits<b>.npz", "mimeType": "application/zip", "buffer": buffer.getvalue()}


def number(page: Any, name: str) -> float:
    """The figure that the page shows, 0 where there is none yet."""
    text = page.get_by_test_id(name).inner_text().split(" ")[0].replace(",", "")
    return float(text) if text[:1].isdigit() else 0.0


def until(holds: Callable[[], bool]) -> None:
    """Wait, without code that the page's policy would not let run in it."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_is_followed_cancelled_resumed_promoted_and_compared(open_page: "Open", folder: Path, url: str) -> None:
    from tests.browser.world import worker

    with worker(folder):
        watched = open_page("fine-tune", expected=("429",))  # a machine with much else to do refuses some
        page = watched.page
        page.get_by_test_id("dataset").set_input_files(digits(400))
        page.get_by_text("<b>digits<b>.npz: 400 samples of 10 classes").wait_for()
        form = page.get_by_role("form", name="New job")
        form.get_by_label("Epochs").fill("400")
        form.get_by_role("button", name="Start").click()
        status = page.get_by_test_id("status")
        page.get_by_text(re.compile(r"Epoch [1-9]\d* of 400")).wait_for(timeout=PATIENCE_MS)
        page.get_by_text(re.compile(r"accuracy \d+\.\d %, base version")).wait_for(timeout=PATIENCE_MS)
        page.get_by_role("button", name="Cancel").click()
        page.locator("[data-testid=status].cancelled").wait_for(timeout=PATIENCE_MS)
        page.get_by_role("button", name="Resume").click()
        page.locator("[data-testid=status]:not(.cancelled)").wait_for(timeout=PATIENCE_MS)
        page.get_by_role("button", name="Cancel").click()
        page.locator("[data-testid=status].cancelled").wait_for(timeout=PATIENCE_MS)

        form.get_by_label("Epochs").fill("2")
        form.get_by_role("button", name="Start").click()
        page.locator("[data-testid=status].succeeded").wait_for(timeout=PATIENCE_MS)
        assert status.inner_text() == "succeeded"
        loss = page.get_by_role("img", name="Loss in training. Latest")
        assert "nothing yet" not in loss.get_attribute("aria-label")
        page.get_by_role("button", name="Promote digits-stl/3").click()
        page.get_by_text("digits-stl/3 now answers by default.").wait_for()
        page.get_by_label("Comparison").get_by_role("button", name="seven").click()
        rows = page.get_by_role("region", name="Base and new version").locator("tbody tr")
        rows.nth(1).wait_for()
        assert [row.locator("th").inner_text() for row in rows.all()] == ["digits-stl/2", "digits-stl/3"]
        watched.is_accessible()
        watched.picture("fine-tune")

    page.goto(f"{url}/#models")
    page.get_by_role("button", name="version 3").click()
    page.get_by_text("fine-tuned from digits-stl/2").wait_for()
    page.get_by_role("img", name="Thresholds of conv1").wait_for()
    page.get_by_text("version 3 became the default").wait_for()
    watched.picture("models-fine-tuned")
    page.get_by_role("button", name="version 2").first.click()
    page.get_by_role("button", name="Roll back to this version").click()
    page.get_by_text("Version 2 now answers by default.").wait_for()
    page.get_by_role("button", name="version 3").click()
    page.get_by_role("button", name="Unload").click()
    page.get_by_text("It is no longer in memory.").wait_for()
    page.get_by_role("button", name="Load", exact=True).click()
    page.get_by_text("It is in memory.").wait_for()


def test_a_bad_data_set_is_refused_with_its_reason(open_page: "Open") -> None:
    watched = open_page("fine-tune", expected=("422",))
    bad = {"name": "a.zip", "mimeType": "application/zip", "buffer": b"no archive"}
    watched.page.get_by_test_id("dataset").set_input_files(bad)
    watched.page.get_by_role("alert").wait_for()
    assert watched.page.get_by_role("alert").inner_text()


def test_a_promotion_that_somebody_else_has_made_is_explained(open_page: "Open") -> None:
    watched = open_page("models", expected=("409",))
    page = watched.page
    body = page.request.get(f"{watched.origin}/v1/models").json()
    model = next(each for each in body["data"] if each["name"] == "digits-stl")
    model["versions"] += [{**model["versions"][0], "version": 9}]
    page.route("**/v1/models", lambda route: route.fulfill(body=json.dumps(body)))
    page.route("**/versions/9", lambda route: route.fulfill(body=json.dumps({**model["versions"][0], "card": None})))
    failure = {"error": {"code": "default_changed", "message": "the default is version 7", "param": "expected"}}
    page.route("**/default", lambda route: route.fulfill(status=409, body=json.dumps(failure)))
    page.reload()
    page.get_by_role("button", name="version 9").click()
    page.get_by_role("button", name="Promote").click()
    page.get_by_text("the default is version 7").wait_for()


def test_the_last_minutes_are_drawn_from_the_metrics(open_page: "Open") -> None:
    watched = open_page("now")
    page = watched.page
    image = base64.b64encode((ROOT / "examples" / "digit.png").read_bytes()).decode()
    for _ in range(4):
        answer = page.request.post(
            f"{watched.origin}/v1/models/digits-stl/predict", data={"inputs": [{"image": image}] * 5}
        )
        assert answer.ok
        page.wait_for_timeout(600)
    until(lambda: number(page, "predictions") > 0)
    until(lambda: number(page, "p99") > 0)
    assert page.locator(".curve canvas").count() == 8
    watched.is_accessible()
    watched.picture("now")


def test_a_recording_is_replayed_into_a_stream(open_page: "Open", tmp_path: Path) -> None:
    watched = open_page("live")
    page = watched.page
    page.get_by_label("Speed of a replay").select_option("1")
    page.get_by_role("button", name="Replay the example").click()
    page.get_by_text("ended.").wait_for()
    assert page.get_by_test_id("live-label").inner_text() == "0"
    assert page.get_by_test_id("live-step").inner_text() == "10"
    predicted = page.request.post(
        f"{watched.origin}/v1/models/nmnist-stl/predict?format=nmnist",
        data=(ROOT / "examples" / "recording.bin").read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    ).json()["predictions"][0]
    lead = page.get_by_role("list", name="Scores").locator("li.leads")
    assert lead.locator(".value").inner_text() == f"{100 * predicted['score']:.0f} %"
    watched.is_accessible()
    watched.picture("live")
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"1234567")
    page.get_by_test_id("recording").set_input_files(broken)
    page.get_by_text("7 bytes, which is not a whole number of events").wait_for()
    outside = tmp_path / "outside.csv"
    outside.write_text("t,x,y,p\n0,1,1,1\n1000,200,1,0\n")
    page.get_by_test_id("recording").set_input_files(outside)
    page.get_by_text("200").first.wait_for()
    assert page.get_by_role("alert").is_visible()


def test_the_camera_becomes_events(open_page: "Open") -> None:
    page = open_page("live").page
    page.get_by_role("button", name="Use the camera as events").click()
    until(lambda: number(page, "live-step") > 10)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("ended.").wait_for()


def test_a_stream_that_the_service_closes_is_explained_and_keys_reach_it(open_page: "Open", folder: Path) -> None:
    from tests.browser.world import service

    settings = {"API_KEYS": "key+/=1", "LIVE_SECONDS": "3", "PRELOAD": "nmnist-stl"}
    with service(folder / "short", **settings) as url:
        watched = open_page("live", at=url, expected=("401",))
        page = watched.page
        page.get_by_label("Key").fill("key+/=1")
        page.get_by_label("Key").press("Enter")
        page.get_by_role("button", name="Use the camera as events").click()
        page.get_by_role("alert").wait_for()
        assert int(page.get_by_test_id("live-step").inner_text()) > 1
        assert "SNN_LIVE_SECONDS" in page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("view", ["live", "models", "fine-tune", "now"])
def test_the_views_fit_a_phone_and_the_dark(open_page: "Open", view: str) -> None:
    for scheme, size in (("light", PHONE), ("dark", DESK)):
        watched = open_page(view, scheme=scheme, size=size)
        watched.page.get_by_role("heading", level=1).wait_for()
        watched.page.wait_for_timeout(300)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        watched.picture(f"{view}-{scheme}-{size['width']}")
        watched.is_accessible()
