"""Prometheus metrics of one running service."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Everything that `/metrics` shows, in its own collector, so that two services in one process stay apart.

    The number of label values is bounded: `route` is the path's template (`other` if there is none), `model` a name in
    the store (empty for requests that concern no model), `method` and `status` are HTTP's.
    """

    def __init__(self) -> None:
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
        self._streams = Gauge("snn_streams", "Open live streams.", registry=self.collector)
        self._dropped = Counter(
            "snn_dropped",
            "Requests that ended without an answer, by stage (load, body, decode, queue, device) and reason "
            "(deadline, slow_body, client_left, shutting_down).",
            ("stage", "reason"),
            registry=self.collector,
        )
        self._depth = Gauge("snn_queue_depth", "Requests in the queue.", registry=self.collector)
        self._bytes = Gauge("snn_queue_bytes", "Bytes that waiting requests hold.", registry=self.collector)
        self._loaded = Gauge("snn_models_loaded", "Model versions in memory.", registry=self.collector)
        self._weights = Gauge(
            "snn_models_bytes", "Size of the weights of the versions in memory.", registry=self.collector
        )
        self._jobs = Gauge(
            "snn_jobs",
            "Fine-tuning jobs by status; absent while the jobs database does not answer.",
            ("status",),
            registry=self.collector,
        )

    def watch(
        self,
        *,
        queue_depth: Callable[[], int],
        queue_bytes: Callable[[], int],
        models_loaded: Callable[[], int],
        models_bytes: Callable[[], int],
        streams: Callable[[], int],
    ) -> None:
        """Read these values whenever the metrics are read."""
        self._depth.set_function(queue_depth)
        self._bytes.set_function(queue_bytes)
        self._loaded.set_function(models_loaded)
        self._weights.set_function(models_bytes)
        self._streams.set_function(streams)

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
        if counts is None:
            self._jobs.clear()
            return
        for status, count in counts.items():
            self._jobs.labels(status).set(count)

    def _label_predictions(self, model: str, profile: str) -> tuple[Counter, ...]:
        return (
            self._predictions.labels(model),
            self._spikes.labels(model),
            self._operations.labels(model, "ac"),
            self._operations.labels(model, "mac"),
            self._energy.labels(model, profile),
        )

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.collector)


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
