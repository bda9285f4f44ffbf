"""Prometheus metrics of one running service."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Everything that `/metrics` shows, in a collector of its own, so that two services in one process stay apart.

    The number of label values is bounded: `route` is the path's template (`other` where there is none),
    `model` a model that the store has (empty where the request is about none), `method` and `status` what HTTP has.
    """

    def __init__(self) -> None:
        self.collector = CollectorRegistry()
        self._of: Callable[..., Any] = cache(_labelled)
        route = ("route", "method", "model", "status")
        self._requests = Counter("snn_requests", "HTTP requests answered.", route, registry=self.collector)
        self._latency = Histogram(
            "snn_request_duration_seconds",
            "From the request's head to the end of its answer.",
            ("route", "method", "model"),
            registry=self.collector,
            buckets=_SECONDS,
        )
        self._wait = Histogram(
            "snn_queue_wait_seconds",
            "Time that a request waited for the device.",
            ("model",),
            registry=self.collector,
            buckets=_SECONDS,
        )
        self._rows = Histogram(
            "snn_batch_size", "Inputs that ran together.", ("model",), registry=self.collector, buckets=_ROWS
        )
        self._predictions = Counter("snn_predictions", "Inputs predicted.", ("model",), registry=self.collector)
        self._spikes = Counter(
            "snn_spikes", "Spikes that the network's neurons emitted.", ("model",), registry=self.collector
        )
        self._operations = Counter(
            "snn_synaptic_operations",
            "Synaptic operations, by kind: ac (accumulate) or mac (multiply-accumulate).",
            ("model", "operation"),
            registry=self.collector,
        )
        self._energy = Counter(
            "snn_energy_estimate_joules",
            "Estimated energy of the operations, by the profile of the estimate.",
            ("model", "profile"),
            registry=self.collector,
        )
        self._dropped = Counter(
            "snn_dropped",
            "Requests ended before they were answered, by where they were (load, body, decode, queue, device) and why "
            "(deadline, client_left, shutting_down).",
            ("stage", "reason"),
            registry=self.collector,
        )
        self._depth = Gauge("snn_queue_depth", "Requests that wait.", registry=self.collector)
        self._bytes = Gauge("snn_queue_bytes", "Bytes that requests hold before they run.", registry=self.collector)
        self._loaded = Gauge("snn_models_loaded", "Model versions in memory.", registry=self.collector)
        self._jobs = Gauge(
            "snn_jobs",
            "Fine-tuning jobs by status; none while their database does not answer.",
            ("status",),
            registry=self.collector,
        )

    def watch(
        self, *, queue_depth: Callable[[], int], queue_bytes: Callable[[], int], models_loaded: Callable[[], int]
    ) -> None:
        """Ask these whenever somebody reads the metrics."""
        self._depth.set_function(queue_depth)
        self._bytes.set_function(queue_bytes)
        self._loaded.set_function(models_loaded)

    def request(self, route: str, method: str, model: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._of(self._requests, route, method, model, str(status)).inc()
        self._of(self._latency, route, method, model).observe(seconds)

    def batch(self, model: str, rows: int) -> None:
        """Count one batch that ran, of `rows` inputs."""
        self._of(self._rows, model).observe(rows)

    def waited(self, model: str, seconds: float) -> None:
        """Count the time that one request waited for the device."""
        self._of(self._wait, model).observe(seconds)

    def dropped(self, stage: str, reason: str) -> None:
        """Count one request that was ended early."""
        self._of(self._dropped, stage, reason).inc()

    def prediction(
        self, model: str, *, spikes: int, accumulates: int, multiply_accumulates: int, estimate_nj: float, profile: str
    ) -> None:
        """Count one predicted input: its spikes, operations and estimated energy in nanojoules."""
        self._of(self._predictions, model).inc()
        self._of(self._spikes, model).inc(spikes)
        self._of(self._operations, model, "ac").inc(accumulates)
        self._of(self._operations, model, "mac").inc(multiply_accumulates)
        self._of(self._energy, model, profile).inc(estimate_nj * 1e-9)

    def jobs(self, counts: Mapping[str, int] | None) -> None:
        """How many fine-tuning jobs have each status; None where nobody knows."""
        if counts is None:
            self._jobs.clear()
            return
        for status, count in counts.items():
            self._jobs.labels(status).set(count)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.collector)


def _labelled(metric: Counter | Histogram, *labels: str) -> Counter | Histogram:
    """The metric of these labels, which the library itself takes ten times as long to find again."""
    return metric.labels(*labels)
