"""Docker or podman, and the compose file of the project under one of them, as the tests use them.

CONTAINER_TOOL  `docker` or `podman`; by default the first of them that is installed
BUILD_FLAGS     more arguments for the builds, such as --build-arg BASE=...
"""

import os
import shlex
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("docker", "podman")
PATIENCE = 120.0

# Kills what the container's init has started, as a crash would end it: `kill` of the tools counts as a wish to stop.
KILL = """
import os, signal
for child in open("/proc/1/task/1/children").read().split():
    os.kill(int(child), signal.SIGKILL)
"""


class Tool:
    """The command line of docker or podman."""

    def __init__(self, name: str, compose: list[str]) -> None:
        self.name = name
        self.compose = compose

    def run(self, *arguments: str, check: bool = True) -> str:
        """What a command prints; a test that needs it fails with what it says otherwise."""
        return command([self.name, *arguments], check=check)

    def inspect(self, name: str, template: str, kind: str = "container") -> str:
        """A property of a container or an image."""
        return self.run(kind, "inspect", "--format", template, name).strip()

    def build(self, tag: str, *arguments: str, file: str = "Dockerfile") -> None:
        """Build an image of the project."""
        flags = shlex.split(os.environ.get("BUILD_FLAGS", ""))
        form = ["--format", "docker"] if self.name == "podman" else []  # else it leaves the health check out
        self.run("build", *form, *flags, *arguments, "--file", str(ROOT / file), "--tag", tag, str(ROOT))

    def is_healthy(self, container: str) -> bool:
        """Whether the container's own health check says so; podman without systemd runs it only when it is asked to."""
        if self.name == "podman":
            done = subprocess.run([self.name, "healthcheck", "run", container], capture_output=True, check=False)
            return done.returncode == 0
        return self.inspect(container, "{{.State.Health.Status}}") == "healthy"


def find_tool() -> Tool:
    """The tool to use; skips the test where containers cannot run, and says why."""
    wanted = os.environ.get("CONTAINER_TOOL")
    name = wanted or next(filter(shutil.which, TOOLS), "")
    if name not in TOOLS:
        pytest.skip(f"CONTAINER_TOOL is {wanted!r}, not docker or podman" if wanted else "no docker and no podman here")
    done = subprocess.run([name, "info"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{name} cannot run containers here: {done.stderr.strip()[-200:]}")
    compose = ["docker", "compose"] if name == "docker" else ["podman-compose"]
    if subprocess.run([*compose, "version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{' '.join(compose)} is not installed")
    return Tool(name, compose)


class Stack:
    """The services of docker-compose.yml, in a project of their own with a free port and a copy of the files."""

    def __init__(self, tool: Tool, image: str, folder: Path, **settings: str) -> None:
        self.tool = tool
        self.project = f"snn-test-{uuid.uuid4().hex[:8]}"
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.folder = folder
        shutil.copy(ROOT / "docker-compose.yml", folder)
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        self.client = httpx.Client(base_url=self.url, timeout=30)
        self.set(IMAGE=image, SNN_PORT=str(port), **settings)

    def set(self, **settings: str) -> None:
        """Write `.env`; it counts from the next `up`."""
        lines = ((ROOT / ".env.example").read_text(), *(f"{name}={value}" for name, value in settings.items()))
        (self.folder / ".env").write_text("\n".join(lines) + "\n")

    def compose(self, *arguments: str) -> str:
        """What `compose` prints."""
        return command([*self.tool.compose, "--project-name", self.project, *arguments], folder=self.folder)

    def up(self, *services: str) -> float:
        """Start and wait until everything is healthy; returns the seconds that it took."""
        start = time.monotonic()
        self.compose("up", "--detach", "--no-build", *services)
        for service in services or ("api", "worker"):
            self.await_health(service)
        return time.monotonic() - start

    def down(self, *arguments: str) -> None:
        """Remove the containers, and with `--volumes` what they have written."""
        self.compose("down", *arguments)

    def container(self, service: str) -> str:
        """The name of a service's only container."""
        return ("-" if self.tool.name == "docker" else "_").join((self.project, service, "1"))

    def kill(self, service: str) -> float:
        """Kill the process of a service, and return the seconds until it is healthy again."""
        before = self.tool.inspect(self.container(service), "{{.RestartCount}}")
        start = time.monotonic()
        # The container may be gone before `exec` has told how its command ended.
        self.tool.run("exec", self.container(service), "python", "-c", KILL, check=False)
        until(lambda: self.tool.inspect(self.container(service), "{{.RestartCount}}") != before)
        self.await_health(service)
        return time.monotonic() - start

    def await_health(self, service: str) -> None:
        """Wait for a service's health check."""
        until(lambda: self.tool.is_healthy(self.container(service)), lambda: self.logs(service))

    def logs(self, service: str) -> str:
        """The end of what a service has logged."""
        container = self.container(service)
        done = subprocess.run([self.tool.name, "logs", container], capture_output=True, text=True, check=False)
        return f"{done.stdout}{done.stderr}"[-4000:]

    def get(self, path: str, **arguments: Any) -> Any:
        """The JSON of a `GET` that succeeds."""
        return self.client.get(path, **arguments).raise_for_status().json()

    def predict_image(
        self, model: str = "digits-stl", *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> httpx.Response:
        """The answer to the image of the README."""
        content = (ROOT / "examples" / "digit.png").read_bytes()
        headers = {"Content-Type": "image/png", **(headers or {})}
        return self.client.post(f"/v1/models/{model}/predict", params=query, content=content, headers=headers)

    def predict_recording(self, **query: Any) -> httpx.Response:
        """The answer to the recording of the README."""
        content = (ROOT / "examples" / "recording.bin").read_bytes()
        headers = {"Content-Type": "application/octet-stream"}
        query = {"format": "nmnist", **query}
        return self.client.post("/v1/models/nmnist-stl/predict", params=query, content=content, headers=headers)


def free_port() -> int:
    """A port of this computer that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def command(arguments: list[str], *, folder: Path | None = None, check: bool = True) -> str:
    """Run a command to its end."""
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    if check:
        assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def until(condition: Callable[[], Any], explain: Callable[[], str] = str, *, patience: float = PATIENCE) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.2)
