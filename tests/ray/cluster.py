"""A Ray cluster of several nodes on this machine, with the service deployed on it as `deploy/ray/serve.yaml` says."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import yaml  # type: ignore[import-untyped]
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from stl_snn_client import Client

ROOT = Path(__file__).parents[2]
DEPLOYMENT = ROOT / "deploy" / "ray" / "serve.yaml"
OBJECTS = 80 * 2**20  # bytes of a node's object store, the least that Ray takes
PATIENCE = 180.0
NODE_CPUS = 2


class RayCluster:
    """A head, which runs no replica, and two nodes; a proxy on the head alone, for they share one address."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings
        os.environ["RAY_AUTH_MODE"] = "disabled"  # a cluster of this machine alone, which leaves no token behind
        os.environ["PYTHONPATH"] = str(ROOT)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        head = {"num_cpus": 0, "object_store_memory": OBJECTS, "include_dashboard": False}
        self.cluster = Cluster()
        self._start_node(head)
        self.nodes: list[Any] = []
        for _ in range(2):
            self.add_node()
        ray.init(address=self.cluster.address, log_to_driver=False)
        self.logs = Path(ray._private.worker._global_node.get_logs_dir_path())
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": self.port})

    def add_node(self) -> None:
        """Add a node with room for two replicas."""
        self.nodes.append(self._start_node({"num_cpus": NODE_CPUS, "object_store_memory": OBJECTS}))

    def _start_node(self, options: dict[str, Any]) -> Any:
        """Start a node; Ray gives up on one after 30 seconds, which is too soon on a busy machine."""
        for _ in range(4):
            try:
                return self.cluster.add_node(**options)
            except Exception as error:
                print(f"a node did not start: {error}")
        raise AssertionError("no node starts")

    def kill_node(self, node: Any) -> None:
        """Kill a node with everything that runs on it."""
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def deploy(self, least: int, most: int | None = None) -> None:
        """Deploy the application with so many replicas, and return once they run."""
        content = yaml.safe_load(DEPLOYMENT.read_text())
        del content["http_options"], content["proxy_location"]  # which have been decided above
        [application] = content["applications"]
        application["runtime_env"]["env_vars"] = self._settings
        [deployment] = application["deployments"]
        deployment["ray_actor_options"] = {"num_cpus": 1}
        deployment["graceful_shutdown_timeout_s"] = 10
        deployment["autoscaling_config"] = {
            "min_replicas": least,
            "max_replicas": most or least,
            "target_ongoing_requests": 1,
            "upscale_delay_s": 0.5,
            "downscale_delay_s": 2,
            "look_back_period_s": 2,
            "metrics_interval_s": 0.5,
        }
        _get_global_client().deploy_apps(ServeDeploySchema.model_validate(content))
        until(lambda: self._state() == "RUNNING" and (most or len(self.replicas()) == least), self._problem)

    def replicas(self) -> list[int]:
        """The processes of the replicas that Ray calls running."""
        status = serve.status().applications.get("stl-snn")
        deployments = status.deployments.values() if status else ()
        running = sum(each.replica_states.get("RUNNING", 0) for each in deployments)
        processes = [pid for pid in self._processes() if _command(pid).startswith("ray::ServeReplica:stl-snn")]
        return processes if len(processes) == running else []

    def node_of(self, process: int) -> Any:
        """The node that runs a process."""
        parent = int(Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()[1])
        [node] = [node for node in self.nodes if parent in {one.process.pid for one in node.all_processes["raylet"]}]
        return node

    def kill(self, process: int) -> None:
        """Kill one replica."""
        os.kill(process, signal.SIGKILL)

    def lines(self, text: str) -> list[str]:
        """The lines with this text that replicas have logged, those of replicas that have gone included."""
        return [line for file in self.logs.glob("worker-*.err") for line in self.lines_of(file, text)]

    @staticmethod
    def lines_of(file: Path, text: str) -> list[str]:
        """The lines with this text in the log of one process; it has the id of its request in brackets."""
        return [line for line in file.read_text(errors="replace").splitlines() if text in line and "entrance" in line]

    def client(self) -> Client:
        """A client that does not try again."""
        return Client(self.url, retries=0)

    def close(self) -> None:
        """Stop everything."""
        serve.shutdown()
        ray.shutdown()
        self.cluster.shutdown()

    def _processes(self) -> list[int]:
        """The processes of this cluster's replicas."""
        mine = f"SNN_DATA_DIR={self._settings['SNN_DATA_DIR']}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and mine in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def _state(self) -> str:
        application = serve.status().applications.get("stl-snn")
        return application.status if application else "none"

    def _problem(self) -> str:
        return f"{serve.status()}"


def until(condition: Callable[[], object], problem: Callable[[], str] = lambda: "it did not happen") -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, problem()
        time.sleep(0.1)


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
