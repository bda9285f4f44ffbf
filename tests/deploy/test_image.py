"""The image: what it holds and what it does not, and that it needs no more rights than it should."""

import json

import pytest

from tests.deploy.containers import Tool

pytestmark = pytest.mark.deploy

MOST_BYTES = 1.5e9


def in_image(tool: Tool, image: str, command: str, *arguments: str) -> str:
    """What a shell command prints in a new container of the image."""
    return tool.run("run", "--rm", *arguments, "--entrypoint", "sh", image, "-c", command).strip()


def test_it_is_small(tool: Tool, image: str) -> None:
    size = int(tool.inspect(image, "{{.Size}}", "image"))
    print(f"\nsize of the image: {size / 1e9:.2f} GB")
    assert size < MOST_BYTES


def test_its_labels_tell_version_and_commit(tool: Tool, image: str, revision: str) -> None:
    labels = json.loads(tool.inspect(image, "{{json .Config.Labels}}", "image"))
    assert labels["org.opencontainers.image.version"] == "1.2.3"
    assert labels["org.opencontainers.image.revision"] == revision
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_signals_reach_the_service_and_not_a_shell(tool: Tool, image: str) -> None:
    assert json.loads(tool.inspect(image, "{{json .Config.Entrypoint}}", "image")) == ["python", "-m"]
    assert json.loads(tool.inspect(image, "{{json .Config.Cmd}}", "image")) == ["service"]


def test_it_has_a_health_check(tool: Tool, image: str) -> None:
    template = "{{json .HealthCheck}}" if tool.name == "podman" else "{{json .Config.Healthcheck}}"
    assert json.loads(tool.inspect(image, template, "image"))["Test"][:2] == ["CMD", "python"]


def test_it_is_not_root(tool: Tool, image: str) -> None:
    assert in_image(tool, image, "id -u; id -g") == "10001\n10001"


def test_no_compiler_no_installer_and_no_cache_is_left(tool: Tool, image: str) -> None:
    assert in_image(tool, image, "command -v gcc cc g++ c++ clang make ld cargo rustc || true") == ""
    assert in_image(tool, image, "ls -A /tmp /data /root/.cache /home 2>/dev/null | grep -v ':$' || true") == ""
    assert (
        in_image(tool, image, "python -c 'import pip' 2>&1 | tail -1") == "ModuleNotFoundError: No module named 'pip'"
    )
    assert in_image(tool, image, "find /opt/venv -name '*.a' -o -path '*/torch/include/*' | head") == ""


def test_only_the_volumes_and_tmp_can_be_written(tool: Tool, image: str) -> None:
    folders = "for folder in / /opt/venv /usr /models /data /tmp; do touch $folder/x 2>/dev/null && echo $folder; done"
    assert in_image(tool, image, folders).split() == ["/models", "/data", "/tmp"]
    read_only = in_image(tool, image, folders, "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all")
    assert read_only.split() == ["/models", "/data", "/tmp"]


def test_the_command_line_is_there_on_a_read_only_file_system(tool: Tool, image: str) -> None:
    printed = tool.run("run", "--rm", "--read-only", image, "training", "inspect", "digits-stl", "--store", "/models")
    assert "digits-stl" in printed
    assert "test accuracy" in printed


def test_a_setting_that_does_not_exist_is_refused(tool: Tool, image: str) -> None:
    refused = tool.run(
        "run", "--rm", "--env", "SNN_PROT=1", "--entrypoint", "sh", image, "-c", "python -m service 2>&1; echo $?"
    )
    assert "did you mean SNN_PORT?" in refused
    assert refused.split()[-1] == "2"


def test_models_are_copied_into_a_store_that_lacks_them(tool: Tool, image: str) -> None:
    seed = (
        "mkdir -p /data/store/mnist-stl/7 && seed-models /data/store && seed-models /data/store"
        " && cd /data/store && cmp digits-stl/2/model.pt /models/digits-stl/2/model.pt"
        " && ls -A . mnist-stl digits-stl/2"
    )
    printed = in_image(tool, image, seed, "--read-only")
    assert printed.count("copied") == 3, printed
    assert "mnist-stl copied" not in printed.splitlines()
    assert ".seed-" not in printed
    assert printed.endswith("mnist-stl:\n7")
