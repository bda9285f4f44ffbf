from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser.world import Open


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    from tests.browser.world import launch

    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    """A service without API keys, which all tests share."""
    from tests.browser.world import service

    with service(folder) as url:
        yield url


@pytest.fixture
def open_page(browser: Any, url: str) -> Iterator["Open"]:
    """Opens a view; at the end nothing unwanted may have happened in any of them."""
    from tests.browser.world import DESK, Watched

    pages: list[Watched] = []
    with ExitStack() as stack:

        def open(
            view: str,
            *,
            at: str = url,
            scheme: str = "light",
            size: dict[str, int] = DESK,
            expected: tuple[str, ...] = (),
        ) -> Watched:
            context = browser.new_context(viewport=size, color_scheme=scheme, permissions=["clipboard-write"])
            stack.callback(context.close)
            watched = Watched(context.new_page(), at)
            watched.expected = expected
            watched.page.set_default_timeout(20_000)
            pages.append(watched)
            watched.page.goto(f"{at}/#{view}")
            return watched

        yield open
        assert [error for each in pages for error in each.errors] == []
