"""Processes and replicas under the same load: what each more brings, and what Ray costs a request.

    python -m benchmarks.scale [--counts 1 2] [--ray] [--clients 16] [--seconds 5] [--rounds 3] [--model digits-stl]

Each subject is the service with so many processes (`SNN_WORKERS`), or with `--ray`, which needs the extra, so many
replicas of Ray Serve on a node of this machine. All are started, then they take turns; k6, which asks, shares the cores
with them. Core time is that of all processes of a subject, for each answer: it says what a request costs even where the
machine has other work. Memory is proportional (PSS), of all processes, once they have answered.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from benchmarks.load import ROOT, Result, closed_loop, free_port
from benchmarks.machine import describe_machine, positive, print_header, print_row
from benchmarks.processes import cpu_seconds, descendants, memory
from benchmarks.service import picture
from contract.store import Store

OBJECTS = 80 * 2**20


@dataclass
class Subject:
    """A service of several processes, and what was measured of it."""

    name: str
    address: str
    process: int
    results: list[Result] = field(default_factory=list)
    core_ms: list[float] = field(default_factory=list)

    def take_turn(self, path: str, body: bytes, clients: int, seconds: float) -> None:
        """Ask for a while."""
        before = cpu_seconds(list(descendants(self.process)))
        result = closed_loop(self.address + path, body, clients=clients, seconds=seconds)
        spent = cpu_seconds(list(descendants(self.process))) - before
        self.results.append(result)
        self.core_ms.append(1000 * spent / max(1, result.accepted))


@contextlib.contextmanager
def started(name: str, command: list[str], **settings: str) -> Iterator[Subject]:
    """A subject that is ready, stopped at the end."""
    port = free_port()
    environment = dict(os.environ) | {"SNN_LOG_LEVEL": "warning", "SNN_PORT": str(port)} | settings
    environment |= {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        until_ready(process, address)
        yield Subject(name, address, process.pid)
    finally:
        process.terminate()
        process.wait(90)


def until_ready(process: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/health/ready").status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"{address} did not start")


def serve_with_ray(replicas: int) -> None:
    """Run a Ray node with so many replicas until SIGTERM."""
    import ray
    from ray import serve

    from service.ray_app import deployment

    ray.init(
        address="local", num_cpus=replicas, object_store_memory=OBJECTS, include_dashboard=False, log_to_driver=False
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["SNN_PORT"])})
    given = {name: value for name, value in os.environ.items() if name.startswith("SNN_")}
    actor = {"num_cpus": 1, "runtime_env": {"env_vars": given}}
    options = {"num_replicas": replicas, "max_ongoing_requests": 1024, "ray_actor_options": actor}
    serve.run(deployment.options(**options).bind(), name="stl-snn", blocking=True)


def report(subject: Subject) -> None:
    rates = [each.per_second for each in subject.results]
    slowest = [each.accepted_ms["p(99)"] for each in subject.results]
    middle = [each.accepted_ms["p(50)"] for each in subject.results]
    failed = sum(each.failed + each.refused for each in subject.results)
    _, proportional = memory(descendants(subject.process))
    spread = f"{median(rates):,.0f} ({min(rates):,.0f}..{max(rates):,.0f})"
    figures = (spread, f"{median(middle):.1f}", f"{median(slowest):.1f}", f"{median(subject.core_ms):.2f}")
    print_row(subject.name, *figures, f"{proportional:,.0f}", str(failed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=positive, nargs="+", default=[1, 2])
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--clients", type=positive, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--model", default="digits-stl")
    parser.add_argument("--serve-ray", type=positive, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_ray:
        serve_with_ray(arguments.serve_ray)
        return
    store = Path("model_store").absolute()
    body = picture(Store(store).checkpoint_path(arguments.model, 1))
    print(describe_machine())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"SNN_MODEL_STORE": str(store), "SNN_DEVICE": "cpu", "SNN_DATA_DIR": str(folder)}
        settings["SNN_DATABASE_URL"] = f"sqlite:///{folder / 'jobs.sqlite'}"
        subjects = []
        for count in arguments.counts:
            given = settings | {"SNN_WORKERS": str(count)}
            subjects.append(stack.enter_context(started(f"{count} process(es)", ["service"], **given)))
        for count in arguments.counts if arguments.ray else ():
            command = ["benchmarks.scale", "--serve-ray", str(count)]
            subjects.append(stack.enter_context(started(f"Ray, {count} replica(s)", command, **settings)))
        for _ in range(arguments.rounds):
            for subject in subjects:
                path = f"/v1/models/{arguments.model}/predict"
                subject.take_turn(path, body, arguments.clients, arguments.seconds)
        print_header("subject", "answers/s", "p50 ms", "p99 ms", "core ms an answer", "memory MiB", "not answered")
        for subject in subjects:
            report(subject)


if __name__ == "__main__":
    main()
