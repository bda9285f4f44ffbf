"""The picture of the page in the README: `make screenshot`."""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.world import DESK, launch, service

COLOURS = 64


def take(path: Path) -> None:
    """Draw a seven, and write a picture of the answer as a small PNG."""
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as url, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport=DESK, color_scheme="light")
        page.goto(f"{url}/#ask")
        box = page.locator(".pad canvas").bounding_box()
        assert box is not None
        for number, (x, y) in enumerate([(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
            if number == 0:
                page.mouse.down()
        page.mouse.up()
        page.get_by_test_id("label").wait_for()
        page.mouse.move(0, 0)
        page.screenshot(path=path)
        browser.close()
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
