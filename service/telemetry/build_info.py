"""What runs: versions and the engine, and the process's own CPU time, memory and open files."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class BuildInfo(Collector):
    """`snn_build_info`, always 1. torch is not imported for its version."""

    def __init__(self, engine: str) -> None:
        self._labels = {
            "version": _version("stl-snn"),
            "torch": _version("torch"),
            "python": platform.python_version(),
            "engine": engine,
        }

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the one sample."""
        family = GaugeMetricFamily("snn_build_info", "Versions, and the engine that is set.", labels=list(self._labels))
        family.add_metric(list(self._labels.values()), 1)
        yield family


def process_registry() -> CollectorRegistry:
    """The metrics `process_*` of this process, which are not shared with others."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
