"""The documentation is true: its commands run, its answers are what comes back, and nothing is left out."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from contract.settings import PREFIX, Settings
from contract.settings_help import described
from service.app import create_app
from service.http.failures import HTTP_STATUS
from service.http.openapi import build_openapi
from training.learning.config import TrainingConfig, preset_names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
HTTP = (ROOT / "docs" / "http.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
TRAINING = (ROOT / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
SHELL = [block for language, block in BLOCKS if language == "sh"]


def curls_with_answers() -> list[tuple[str, str]]:
    """Each `curl` of the README with the answer that follows it."""
    return [
        (command, answer)
        for (language, command), (other, answer) in pairwise(BLOCKS)
        if language == "sh" and other == "json" and command.startswith("curl")
    ]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The service as `make serve` starts it, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    service = subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env=environment | {"SNN_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{address}/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield address
    finally:
        service.terminate()
        assert service.wait(20) == 0


def test_the_readme_shows_an_image_and_a_recording() -> None:
    commands = [command for command, _ in curls_with_answers()]
    assert len(commands) == 2
    assert "digit.png" in commands[0]
    assert "recording.bin" in commands[1]


@pytest.mark.parametrize(("command", "answer"), curls_with_answers())
def test_the_readmes_curls_give_the_answers_it_shows(command: str, answer: str, url: str) -> None:
    here = command.replace("http://127.0.0.1:8000", url)
    found = json.loads(subprocess.run(here, shell=True, cwd=ROOT, capture_output=True, check=True).stdout)
    shown = json.loads(answer)
    assert found["timing"].keys() == shown["timing"].keys()
    for answered in (found, shown):
        del answered["id"], answered["timing"]
        for prediction in answered["predictions"]:
            del prediction["energy"]["measured_mj"]
    assert found == shown


def test_the_readmes_make_targets_exist() -> None:
    targets = {word for block in SHELL for word in re.findall(r"^make (\S+)", block, re.MULTILINE)}
    assert {"serve", "test", "check"} <= targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_the_readmes_training_commands_run(tmp_path: Path) -> None:
    commands = [line for block in SHELL for line in block.splitlines() if " -m training " in line]
    assert [command.split()[3] for command in commands] == ["train", "inspect", "evaluate"]
    for command in commands:
        arguments = command.split()[1:]
        if "train" in arguments:
            arguments += ["--epochs", "1", "--store", str(tmp_path / "store"), "--run-dir", str(tmp_path / "run")]
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "test accuracy" in done.stdout


def test_the_settings_page_lists_every_setting_under_its_heading_and_no_other() -> None:
    sections = re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", SETTINGS, re.MULTILINE | re.DOTALL)
    tables = {heading: [line for line in text.splitlines() if line.startswith("| `")] for heading, text in sections}
    assert tables == {
        heading: [f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |" for name, default, meaning in group]
        for heading, group in described().items()
    }


def test_every_route_and_parameter_is_in_the_http_page() -> None:
    document = build_openapi(create_app(Settings.model_construct()))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ending = path.removeprefix("/v1/models/{name}/versions/{version}") or path
            assert f"{method.upper()} {path}" in HTTP or f"{method.upper()} ...{ending}" in HTTP, (method, path)
            for parameter in operation.get("parameters", []):
                assert f"`{parameter['name']}" in HTTP or f"{{{parameter['name']}}}" in HTTP, parameter["name"]


def test_every_code_is_in_the_http_page() -> None:
    for code in HTTP_STATUS.keys() - {"conflict"}:
        assert f"`{code}`" in HTTP, code


def test_every_training_command_field_and_preset_is_documented() -> None:
    for name in ("train", "evaluate", "inspect"):
        assert f"python -m training {name}" in TRAINING
    for name in [*TrainingConfig.model_fields, *preset_names()]:
        assert f"`{name}`" in TRAINING, name


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "model_store" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
