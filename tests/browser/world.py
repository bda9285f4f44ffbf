"""A service and a browser for tests of the page: a real process, the shipped models, and Chromium."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

from tests.service.process import ROOT, environment, started, wait_for

PICTURES = ROOT / "build" / "browser"
AXE = ROOT / "build" / "vendor" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium, with a camera that shows a test picture."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "there is no Chromium; name one in CHROMIUM"
    arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    return playwright.chromium.launch(executable_path=path, args=arguments)


@contextmanager
def service(folder: Path, **settings: str) -> Iterator[str]:
    """A service of the shipped models on a free port; its address. What it writes goes to `folder`."""
    store = f"{folder / 'models'}:{ROOT / 'model_store'}"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "service.log"
    settings = {"MODEL_STORE": store, "ENERGY_PROFILE": "cmos-45nm"} | settings
    with started(log, **settings) as (process, url):
        wait_for(process, log, "ready; loaded")
        yield url


@contextmanager
def worker(folder: Path) -> Iterator[None]:
    """A fine-tuning worker beside the service of the same folder."""
    store = f"{folder / 'models'}:{ROOT / 'model_store'}"
    variables = environment(MODEL_STORE=store, DATA_DIR=str(folder / "data"))
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "training", "worker"], cwd=ROOT, env=variables, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


Open = Callable[..., "Watched"]
"""Opens a view of the page at an address, in a colour scheme and size."""


class Watched:
    """A page, and everything about it that must not happen: errors, and requests to other places."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.errors: list[str] = []
        self.expected: tuple[str, ...] = ()
        page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("websocket", lambda socket: self._leaves(socket.url))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(each in message.text for each in self.expected):
            self.errors.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        self._leaves(request.url)

    def _leaves(self, url: str) -> None:
        host = self.origin.removeprefix("http://")
        if not url.startswith((f"http://{host}/", f"ws://{host}/", f"blob:http://{host}/")):
            self.errors.append(f"request to {url}")

    def is_accessible(self) -> None:
        """axe finds nothing."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        problems = [
            f"{each['id']}: {each['help']} {[node['html'][:150] for node in each['nodes']]}"
            for each in found["violations"]
        ]
        assert problems == []

    def picture(self, name: str) -> None:
        """Write a picture of the whole page, for people to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
