"""What all views share: the API key, the documents without internet, and how soon the page is there."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.service.process import started

if TYPE_CHECKING:
    from tests.browser.world import Open


def test_a_key_is_asked_for_once_and_stays_in_the_tab(open_page: "Open", folder: Path) -> None:
    from tests.browser.world import service

    with service(folder / "locked", API_KEYS="right-key", PRELOAD="digits-stl") as url:
        watched = open_page("ask", at=url, expected=("401",))
        page = watched.page
        field = page.get_by_label("Key")
        field.fill("wrong")
        field.press("Enter")
        page.get_by_text("missing or invalid API key").wait_for()
        watched.is_accessible()
        watched.picture("key")
        field.fill("right-key")
        field.press("Enter")
        page.get_by_label("Model").select_option("digits-stl")
        page.get_by_role("button", name="seven").click()
        page.get_by_test_id("label").wait_for()
        page.reload()
        page.get_by_label("Model").wait_for()
        assert page.context.cookies() == []
        assert page.evaluate("Object.keys(localStorage).length") == 0
        page.goto(f"{url}/docs")
        page.get_by_text("Spiking neural networks over HTTP").first.wait_for()


def test_the_documents_work_without_internet(open_page: "Open", url: str) -> None:
    watched = open_page("ask")
    watched.page.goto(f"{url}/docs")
    watched.page.get_by_text("/v1/models/{name}/predict").first.wait_for()
    watched.picture("docs")


def test_the_first_view_is_there_within_a_second(open_page: "Open", url: str) -> None:
    page = open_page("ask").page
    page.get_by_label("Model").wait_for()
    page.goto("about:blank")
    times = []
    for _ in range(3):
        page.goto(f"{url}/#ask")
        page.get_by_label("Model").wait_for()
        times.append(page.evaluate("performance.getEntriesByType('paint').at(-1).startTime"))
        page.goto("about:blank")
    assert min(times) < 1000


def test_a_service_that_was_gone_is_found_again(open_page: "Open", tmp_path: Path) -> None:
    log = tmp_path / "gone.log"
    with started(log) as (_, url):
        watched = open_page("ask", at=url, expected=("ERR_CONNECTION_REFUSED",))
        watched.page.get_by_label("Model").wait_for()
        port = url.rsplit(":", 1)[1].strip("/")
    watched.page.get_by_role("button", name="seven").click()
    watched.page.get_by_role("alert").wait_for()
    with started(log, PORT=port):
        watched.page.get_by_role("button", name="three").click()
        watched.page.get_by_test_id("label").wait_for()
