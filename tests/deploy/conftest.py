import subprocess
from collections.abc import Iterator

import pytest

from tests.deploy.containers import ROOT, Stack, Tool, find_tool

IMAGE = "stl-snn:test"


@pytest.fixture(scope="session")
def tool() -> Tool:
    return find_tool()


@pytest.fixture(scope="session")
def revision() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


@pytest.fixture(scope="session")
def image(tool: Tool, revision: str) -> str:
    """The project's image."""
    tool.build(IMAGE, "--build-arg", "VERSION=1.2.3", "--build-arg", f"REVISION={revision}")
    return IMAGE


@pytest.fixture(scope="module")
def stack(tool: Tool, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The api and the worker, up and healthy, until the tests of a module are done."""
    stack = Stack(tool, image, tmp_path_factory.mktemp("stack"))
    try:
        print(f"\nfrom `up` to healthy: {stack.up():.1f} s")
        yield stack
    finally:
        stack.client.close()
        stack.down("--volumes")
