"""The documentation is true and complete: commands run, and responses, pictures, settings and routes are current."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest

from contract.settings import Settings
from contract.settings_help import described
from service.app import create_app
from service.http.failures import HTTP_STATUS
from service.http.openapi import build_openapi
from tests.service.process import environment, started, wait_for
from training.learning.config import TrainingConfig, preset_names

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "model_store" / "README.md",
]
README = (ROOT / "README.md").read_text()
HTTP = (ROOT / "docs" / "http.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
TRAINING = (ROOT / "docs" / "training.md").read_text()


def blocks(page: str, language: str = r"\w+") -> list[tuple[str, str]]:
    """Each fenced block of a page: its language and its text."""
    return re.findall(rf"^```({language})\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def curls_with_answers() -> list[tuple[str, str]]:
    """Each `curl` of the README and of the HTTP page with the answer that follows it."""
    return [
        (command, answer)
        for page in (README, HTTP)
        for (language, command), (other, answer) in pairwise(blocks(page))
        if language == "sh" and other == "json" and command.startswith("curl")
    ]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service as `make serve` starts it, on a free port, without what was trained in this checkout."""
    log = tmp_path_factory.mktemp("service") / "log"
    with started(log, MODEL_STORE=f"{log.parent}/models{os.pathsep}model_store") as (service, address):
        wait_for(service, log, "ready; loaded")
        yield address
        service.terminate()
        assert service.wait(20) == 0


def test_an_image_an_error_and_a_recording_are_shown_with_their_answers() -> None:
    shown = [command for command, _ in curls_with_answers()]
    assert len(shown) == 3
    assert "digit.png" in shown[0]
    assert "topk=2" in shown[1]
    assert "recording.bin" in shown[2]


@pytest.mark.parametrize(("command", "answer"), curls_with_answers())
def test_the_curls_give_the_answers_that_are_shown(command: str, answer: str, url: str) -> None:
    here = re.sub(r"(http://127\.0\.0\.1|localhost):8000", url, command)
    found = json.loads(subprocess.run(here, shell=True, cwd=ROOT, capture_output=True, check=True).stdout)
    shown = json.loads(answer)
    assert found.get("timing", {}).keys() == shown.get("timing", {}).keys()
    for answered in (found, shown):
        answered.pop("id", None)
        answered.pop("timing", None)
        for prediction in answered.get("predictions", []):
            del prediction["energy"]["measured_mj"]
    assert found == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_make_targets_on_a_page_exist(page: Path) -> None:
    text = page.read_text()
    inline = re.findall(r"`make ([^`]+)`", text)
    targets = {line.split()[0] for line in [*inline, *re.findall(r"^make (.+)", text, re.MULTILINE)]}
    for target in targets:
        subprocess.run(["make", "--dry-run", target, "VERSION=0.1.0"], cwd=ROOT, capture_output=True, check=True)
    assert page.name != "README.md" or page.parent != ROOT or {"serve", "test"} <= targets


def test_the_python_examples_run(url: str) -> None:
    (shown,) = re.findall(r"this prints `(.*)`", README)
    with_client, without_server = [text for _, text in blocks(README, "python")]
    for example in (with_client.replace("Client()", f"Client({url!r})"), without_server):
        done = subprocess.run(
            [sys.executable, "-"], input=example, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{shown}\n"


def test_the_examples_of_the_client_run(url: str) -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    for example in [text.replace("Client()", f"Client({url!r})") for _, text in blocks(page, "python")]:
        done = subprocess.run(
            [sys.executable, "-"], input=example, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout


def test_the_picture_is_what_the_example_draws(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.svg"
    command = [sys.executable, "examples/draw.py", "examples/recording.bin", str(drawn)]
    subprocess.run(command, cwd=ROOT, env=environment() | {"PYTHONPATH": str(ROOT)}, check=True)
    assert drawn.read_bytes() == (ROOT / "docs" / "prediction.svg").read_bytes()


def test_the_recorded_session_is_light_and_shows_the_commands_of_the_example() -> None:
    session = (ROOT / "docs" / "session.svg").read_text()
    lines = [unescape(re.sub(r"<[^>]+>", "", line)) for line in session.splitlines() if line.startswith("<text")]
    commands = runpy.run_path(str(ROOT / "examples" / "record.py"))["COMMANDS"]
    assert [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] == list(commands)
    assert len(session) < 50_000


def test_the_first_training_commands_run(tmp_path: Path) -> None:
    (first, *_) = [text for _, text in blocks(TRAINING, "sh")]
    commands = [line for line in first.splitlines() if " -m training " in line]
    assert [command.split()[3] for command in commands] == ["train", "inspect", "evaluate"]
    for command in commands:
        arguments = command.split()[1:]
        if "train" in arguments:
            arguments += ["--epochs", "1", "--run-dir", str(tmp_path / "run")]
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment(MODEL_STORE=f"{tmp_path}/models{os.pathsep}model_store"),
            capture_output=True,
            text=True,
            check=False,
        )
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


def test_the_reference_covers_the_network_and_the_contract() -> None:
    listed = {
        name
        for page in (ROOT / "docs" / "reference").glob("*.md")
        for name in re.findall(r"^::: (.+)$", page.read_text(), re.M)
    }
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("contract", "training/snn")
        for path in (ROOT / package).rglob("*.py")
    }
    assert listed <= modules
    internal = re.compile(r".*\.__init__|contract\.(cores|settings_help|events\..*|datasets\..*)")
    assert {module for module in modules - listed if not internal.fullmatch(module)} == set()


def test_every_training_command_field_and_preset_is_documented() -> None:
    for name in ("train", "evaluate", "inspect"):
        assert f"python -m training {name}" in TRAINING
    for name in [*TrainingConfig.model_fields, *preset_names()]:
        assert f"`{name}`" in TRAINING, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for file, _, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#([^)]*))?\)", page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not heading or heading in anchors(target), f"{file}#{heading}"


def anchors(page: Path) -> set[str]:
    """The names by which headings are linked to: lower case, spaces as hyphens, other signs left out."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_have_at_most_120_characters_but_in_tables_and_answers(page: Path) -> None:
    prose = re.sub(r"^```json\n.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")] == []
