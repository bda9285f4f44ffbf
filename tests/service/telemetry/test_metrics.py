from service.telemetry.metrics import Metrics
from tests.service.prometheus import read


def test_what_is_counted_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.watch(
        queue_depth=lambda: 3,
        queue_bytes=lambda: 9,
        models_loaded=lambda: 2,
        models_bytes=lambda: 512,
        streams=lambda: 4,
    )
    metrics.request("/v1/models", "GET", "", 200, 0.02)
    metrics.run("digits", rows=8, seconds=0.25, joules=None)
    metrics.run("digits", rows=2, seconds=0.5, joules=3.0)
    metrics.waited("digits", 0.5)
    metrics.dropped("queue", "deadline")
    for _ in range(2):
        metrics.prediction(
            "digits", spikes=10, accumulates=100, multiply_accumulates=7, estimate_nj=5.0, profile="loihi"
        )
    found = read(metrics)
    digits = frozenset({("model", "digits")})
    assert found["snn_queue_depth", frozenset()] == 3
    assert found["snn_queue_bytes", frozenset()] == 9
    assert found["snn_streams", frozenset()] == 4
    assert found["snn_dropped_total", frozenset({("stage", "queue"), ("reason", "deadline")})] == 1
    assert found["snn_models_loaded", frozenset()] == 2
    labels = {("route", "/v1/models"), ("method", "GET"), ("model", "")}
    assert found["snn_requests_total", frozenset(labels | {("status", "200")})] == 1
    assert found["snn_request_duration_seconds_sum", frozenset(labels)] == 0.02
    assert found["snn_models_bytes", frozenset()] == 512
    assert found["snn_batch_size_sum", digits] == 10
    assert found["snn_batch_size_count", digits] == 2
    assert found["snn_device_seconds_total", digits] == 0.75
    assert found["snn_energy_measured_joules_total", digits] == 3
    assert found["snn_queue_wait_seconds_sum", digits] == 0.5
    assert found["snn_predictions_total", digits] == 2
    assert found["snn_spikes_total", digits] == 20
    assert found["snn_synaptic_operations_total", digits | {("operation", "ac")}] == 200
    assert found["snn_synaptic_operations_total", digits | {("operation", "mac")}] == 14
    assert found["snn_energy_estimate_joules_total", digits | {("profile", "loihi")}] == 1e-8


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.run("digits", rows=1, seconds=0.1, joules=None)
    labels = frozenset({("model", "digits")})
    assert ("snn_batch_size_count", labels) in read(one)
    assert ("snn_batch_size_count", labels) not in read(other)


def test_energy_that_was_never_measured_is_absent_and_not_zero() -> None:
    metrics = Metrics()
    metrics.run("digits", rows=1, seconds=0.1, joules=None)
    assert not [name for name, _ in read(metrics) if name.startswith("snn_energy_measured_joules")]


def test_the_jobs_of_a_database_that_stopped_answering_are_not_shown() -> None:
    metrics = Metrics()
    queued = ("snn_jobs", frozenset({("status", "queued")}))
    metrics.jobs({"queued": 2, "running": 1})
    assert read(metrics)[queued] == 2
    metrics.jobs(None)
    assert not [name for name, _ in read(metrics) if name == "snn_jobs"]
    metrics.jobs({"queued": 1})
    assert read(metrics)[queued] == 1


def test_requests_in_flight_are_those_that_have_begun_and_not_ended() -> None:
    metrics = Metrics()
    metrics.begin()
    metrics.begin()
    metrics.end()
    assert read(metrics)["snn_requests_in_flight", frozenset()] == 1


def test_build_and_process_are_shown() -> None:
    found = read(Metrics("event"))
    (labels,) = (dict(labels) for name, labels in found if name == "snn_build_info")
    assert set(labels) == {"version", "torch", "python", "engine"}
    assert all(labels.values())
    assert labels["engine"] == "event"
    assert found["process_resident_memory_bytes", frozenset()] > 1_000_000
