"""The view Ask, from the question to the answer."""

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.service.process import ROOT

if TYPE_CHECKING:
    from tests.browser.world import Open

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
LOOKS = [("light", WIDE), ("dark", WIDE), ("light", NARROW)]


def verdict(page: Any) -> str:
    return str(page.get_by_test_id("label").inner_text())


def draw_seven(page: Any) -> None:
    box = page.locator(".pad canvas").bounding_box()
    for number, (x, y) in enumerate([(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def test_a_drawn_seven_is_recognised_with_its_spikes(open_page: "Open") -> None:
    watched = open_page("ask")
    page = watched.page
    draw_seven(page)
    assert verdict(page) == "7"
    assert page.locator("canvas.raster").count() == 4
    label = page.locator("canvas.raster").first.get_attribute("aria-label")
    assert label.startswith("Raster of conv1: step 1, ")
    assert page.get_by_text("What the network saw").is_visible()
    cells = page.locator("tfoot td").all_inner_texts()
    by_step = [int(cell.replace(",", "")) for cell in cells[:4]]
    assert sum(by_step) == int(cells[4].replace(",", "")) > 0
    assert page.locator(".energy li").count() == 4
    for word in ("operations", "memory-lemaire", "memory-yan"):
        assert page.get_by_role("row", name=word).locator("td").first.inner_text().endswith("estimate")


def test_the_slider_shows_the_decision_forming(open_page: "Open") -> None:
    page = open_page("ask").page
    page.get_by_role("button", name="three").click()
    assert verdict(page) == "3"
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    assert page.get_by_role("list", name="Scores after time step 1").is_visible()
    slider.press("ArrowRight")
    assert page.get_by_role("list", name="Scores after time step 2").is_visible()
    page.get_by_role("button", name="Play the time steps").click()
    page.get_by_role("list", name="Scores after time step 4").wait_for()
    page.get_by_role("button", name="Show the maps").first.click()
    assert page.locator("canvas.maps").is_visible()


def test_a_recording_is_shown_step_by_step_and_a_broken_one_is_refused(open_page: "Open", tmp_path: Path) -> None:
    watched = open_page("ask", expected=("422",))
    page = watched.page
    page.get_by_label("Model").select_option("nmnist-stl")
    page.get_by_role("button", name="a zero").click()
    assert verdict(page) == "0"
    assert page.get_by_role("img", name="Events of time step 10").is_visible()
    assert page.get_by_text("events fall into the model").is_visible()
    watched.picture("ask-recording")
    broken = tmp_path / "<img src=x onerror=alert(1)>.bin"
    broken.write_bytes((ROOT / "examples" / "recording.bin").read_bytes()[:-2])
    page.get_by_test_id("file").set_input_files(broken)
    message = page.get_by_role("alert").inner_text()
    assert "5" in message
    assert page.get_by_text("<img src=x onerror=alert(1)>.bin").first.is_visible()
    assert page.locator("img[src=x]").count() == 0


def test_a_picture_of_any_size_is_fitted_and_the_page_says_how(open_page: "Open", tmp_path: Path) -> None:
    page = open_page("ask").page
    buffer = BytesIO()
    Image.fromarray(np.zeros((64, 90, 3), np.uint8)).save(buffer, "JPEG")
    file = {"name": "black.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}
    page.get_by_test_id("file").set_input_files(file)
    page.get_by_text("Resized from 90 \N{MULTIPLICATION SIGN} 64.").wait_for()
    assert page.get_by_text("Converted from RGB.").is_visible()


def test_a_file_that_is_too_large_is_refused_with_the_limit(open_page: "Open", tmp_path: Path) -> None:
    watched = open_page("ask", expected=("413", "ERR_"))
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(36 << 20))
    watched.page.get_by_test_id("file").set_input_files(large)
    alert = watched.page.get_by_role("alert")
    alert.wait_for()
    assert "33554432 bytes" in alert.inner_text()


def test_a_script_in_a_label_or_message_stays_text(open_page: "Open") -> None:
    watched = open_page("ask", expected=("422",))
    page, script = watched.page, "<script>window.hit = 1</script>"

    def answer(route: Any) -> None:
        response = route.fetch()
        body = response.json()
        body["predictions"][0]["label"] = script
        route.fulfill(response=response, body=json.dumps(body))

    page.route("**/predict?**", answer)
    page.get_by_role("button", name="seven").click()
    assert verdict(page) == script
    page.unroute("**/predict?**")
    failure = {"error": {"code": "invalid_image", "message": script, "param": None}}
    page.route("**/predict?**", lambda route: route.fulfill(status=422, body=json.dumps(failure)))
    page.get_by_role("button", name="five").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == script
    assert page.evaluate("window.hit") is None


def test_a_full_queue_and_a_service_that_is_gone_are_explained(open_page: "Open") -> None:
    watched = open_page("ask", expected=("429", "ERR_FAILED"))
    page = watched.page
    failure = {"error": {"code": "overloaded", "message": "256 requests are already waiting", "param": None}}
    busy = {"status": 429, "headers": {"Retry-After": "2"}, "body": json.dumps(failure)}
    page.route("**/predict?**", lambda route: route.fulfill(**busy))
    page.get_by_role("button", name="seven").click()
    page.get_by_text("256 requests are already waiting (try again in 2 s)").wait_for()
    page.unroute("**/predict?**")
    page.route("**/predict?**", lambda route: route.abort())
    page.get_by_role("button", name="five").click()
    page.get_by_text("The service does not answer").wait_for()
    page.unroute("**/predict?**")
    page.get_by_role("button", name="three").click()
    assert verdict(page) == "3"


def test_the_same_request_can_be_copied(open_page: "Open", url: str) -> None:
    page = open_page("ask").page
    page.get_by_role("button", name="seven").click()
    page.get_by_role("button", name="Copy as curl").click()
    page.get_by_role("button", name="Copied").wait_for()
    curl = page.locator("pre").first.inner_text()
    assert f"'{url}/v1/models/mnist-stl/predict?" in curl
    assert "--data-binary @'seven.png'" in curl


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_it_looks_well_and_is_accessible(open_page: "Open", scheme: str, size: dict[str, int]) -> None:
    watched = open_page("ask", scheme=scheme, size=size)
    watched.page.get_by_role("button", name="seven").click()
    assert verdict(watched.page) == "7"
    watched.page.get_by_role("button", name="Show the maps").first.click()
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    watched.picture(f"ask-{scheme}-{size['width']}")
    watched.is_accessible()
