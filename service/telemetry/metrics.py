"""Prometheus metrics of one running service.

Several processes of one service write theirs into files of a common folder, and each of them shows the sums of all
(prometheus_client's multiprocess mode). What a process that has died counted stays in the sums; its gauges do not.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.telemetry.build_info import BuildInfo, process_registry

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with the common folder, which prometheus_client reads when it is imported."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second family for each counter, which nobody reads

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Everything that `/metrics` shows, in its own collector, so that two services in one process stay apart.

    The number of label values is bounded: `route` is the path's template (`other` if there is none), `model` a name in
    the store (empty for requests that concern no model), `method` and `status` are HTTP's.
    """

    def __init__(self, engine: str = "") -> None:
        self.collector = CollectorRegistry()
        self._of: Callable[..., Any] = cache(_labelled)
        self._of_predictions = cache(self._label_predictions)
        route = ("route", "method", "model", "status")
        self._requests = Counter("snn_requests", "HTTP requests answered.", route, registry=self.collector)
        self._latency = Histogram(
            "snn_request_duration_seconds",
            "From the head of a request to the end of its response.",
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
        self._compute = Histogram(
            "snn_compute_seconds",
            "Time that the device spent on one run of a network.",
            ("model",),
            registry=self.collector,
            buckets=_SECONDS,
        )
        self._device = Counter(
            "snn_device_seconds", "Time that the device spent running networks.", ("model",), registry=self.collector
        )
        self._measured = Counter(
            "snn_energy_measured_joules",
            "Time that networks ran at the power that the hardware measured; absent without it.",
            ("model",),
            registry=self.collector,
        )
        self._predictions = Counter("snn_predictions", "Inputs predicted.", ("model",), registry=self.collector)
        self._spikes = Counter("snn_spikes", "Spikes of the networks' neurons.", ("model",), registry=self.collector)
        self._operations = Counter(
            "snn_synaptic_operations",
            "Synaptic operations by kind: ac (accumulate) or mac (multiply-accumulate).",
            ("model", "operation"),
            registry=self.collector,
        )
        self._energy = Counter(
            "snn_energy_estimate_joules",
            "Estimated energy of the operations, by energy profile.",
            ("model", "profile"),
            registry=self.collector,
        )
        self._stream_steps = Counter(
            "snn_stream_steps", "Time steps of live streams.", ("model",), registry=self.collector
        )
        self._stream_events = Counter(
            "snn_stream_events",
            "Events of live streams by outcome: taken, late or dropped.",
            ("model", "outcome"),
            registry=self.collector,
        )
        gauge = partial(Gauge, registry=self.collector, multiprocess_mode="livesum")
        self._streams = gauge("snn_streams", "Open live streams.")
        self._dropped = Counter(
            "snn_dropped",
            "Requests that ended without an answer, by stage (load, body, decode, queue, device) and reason "
            "(deadline, slow_body, client_left, shutting_down).",
            ("stage", "reason"),
            registry=self.collector,
        )
        self._depth = gauge("snn_queue_depth", "Requests in the queue.")
        self._bytes = gauge("snn_queue_bytes", "Bytes that waiting requests hold.")
        self._loaded = gauge("snn_models_loaded", "Model versions in memory, in each process.")
        self._weights = gauge("snn_models_bytes", "Size of the weights of the versions in memory, in each process.")
        self._in_flight = gauge("snn_requests_in_flight", "Requests and streams that have begun and not ended.")
        self._begun = 0
        self._watched: dict[Gauge, Callable[[], int]] = {}
        self._jobs = _Jobs()
        self._jobs.registry.register(BuildInfo(engine))
        self._process = process_registry()

    def watch(
        self,
        *,
        queue_depth: Callable[[], int],
        queue_bytes: Callable[[], int],
        models_loaded: Callable[[], int],
        models_bytes: Callable[[], int],
        streams: Callable[[], int],
    ) -> None:
        """Read these values whenever the metrics are read, and in `refresh`."""
        self._watched = {
            self._depth: queue_depth,
            self._bytes: queue_bytes,
            self._loaded: models_loaded,
            self._weights: models_bytes,
            self._streams: streams,
        }

    def refresh(self) -> None:
        """Read what `watch` watches, for this process and for others that show the sums."""
        self._in_flight.set(self._begun)
        for gauge, read in self._watched.items():
            gauge.set(read())

    def begin(self) -> None:
        """Count a request as in flight; `end` takes it out."""
        self._begun += 1

    def end(self) -> None:
        """A request that `begin` counted is over."""
        self._begun -= 1

    def request(self, route: str, method: str, model: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._of(self._requests, route, method, model, str(status)).inc()
        self._of(self._latency, route, method, model).observe(seconds)

    def refused(self, route: str, method: str, count: int) -> None:
        """Count requests that were refused at their head, when no more was known of them."""
        self._of(self._requests, route, method, "", "429").inc(count)

    def run(self, model: str, *, rows: int, seconds: float, joules: float | None) -> None:
        """Count one run of a network: its inputs, its time on the device and its measured energy, None if unknown."""
        self._of(self._rows, model).observe(rows)
        self._of(self._compute, model).observe(seconds)
        self._of(self._device, model).inc(seconds)
        if joules is not None:
            self._of(self._measured, model).inc(joules)

    def waited(self, model: str, seconds: float) -> None:
        """Count the time that one request waited for the device."""
        self._of(self._wait, model).observe(seconds)

    def dropped(self, stage: str, reason: str) -> None:
        """Count one request that ended without an answer."""
        self._of(self._dropped, stage, reason).inc()

    def prediction(
        self, model: str, *, spikes: int, accumulates: int, multiply_accumulates: int, estimate_nj: float, profile: str
    ) -> None:
        """Count one predicted input: its spikes, its operations and its estimated energy in nanojoules."""
        predictions, *work = self._of_predictions(model, profile)
        predictions.inc()
        _add_work(work, spikes, accumulates, multiply_accumulates, estimate_nj)

    def stream_step(
        self,
        model: str,
        *,
        spikes: int,
        accumulates: int,
        multiply_accumulates: int,
        estimate_nj: float,
        profile: str,
        events: int,
        late: int,
        dropped: int,
    ) -> None:
        """Count one time step of a live stream: the same numbers, and its events by outcome."""
        _, *work = self._of_predictions(model, profile)
        _add_work(work, spikes, accumulates, multiply_accumulates, estimate_nj)
        self._of(self._stream_steps, model).inc()
        for outcome, count in (("taken", events), ("late", late), ("dropped", dropped)):
            if count:
                self._of(self._stream_events, model, outcome).inc(count)

    def jobs(self, counts: Mapping[str, int] | None) -> None:
        """Set the number of fine-tuning jobs by status; None if it is unknown, which removes the last known numbers."""
        self._jobs.counts = dict(counts or {})

    def _label_predictions(self, model: str, profile: str) -> tuple[Counter, ...]:
        return (
            self._predictions.labels(model),
            self._spikes.labels(model),
            self._operations.labels(model, "ac"),
            self._operations.labels(model, "mac"),
            self._energy.labels(model, profile),
        )

    def render(self) -> bytes:
        """All metrics in Prometheus' text format, summed over all processes of the service."""
        self.refresh()
        alike = generate_latest(self._jobs.registry)
        if folder := os.environ.get(FOLDER_VARIABLE):
            shown = CollectorRegistry()
            MultiProcessCollector(shown, folder)  # type: ignore[no-untyped-call]
            return generate_latest(shown) + alike
        return generate_latest(self.collector) + alike + generate_latest(self._process)


class _Jobs(Collector):
    """The number of jobs by status: a fact of the database, the same for all processes, which is not summed."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the numbers, if they are known."""
        text = "Fine-tuning jobs by status; absent while the jobs database does not answer."
        family = GaugeMetricFamily("snn_jobs", text, labels=["status"])
        for status, count in self.counts.items():
            family.add_metric([status], count)
        yield family


def _add_work(
    counters: Sequence[Counter], spikes: int, accumulates: int, multiply_accumulates: int, estimate_nj: float
) -> None:
    spiked, accumulated, multiplied, energy = counters
    spiked.inc(spikes)
    accumulated.inc(accumulates)
    multiplied.inc(multiply_accumulates)
    energy.inc(estimate_nj * 1e-9)


def _labelled(metric: Counter | Histogram, *labels: str) -> Counter | Histogram:
    """The child with these labels, cached by the caller: the library takes ten times as long to find it."""
    return metric.labels(*labels)
