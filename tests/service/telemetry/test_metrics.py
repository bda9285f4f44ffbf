from service.telemetry.metrics import Metrics
from tests.service.prometheus import read


def test_what_is_counted_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.watch(queue_depth=lambda: 3, queue_bytes=lambda: 9, models_loaded=lambda: 2)
    metrics.request("/v1/models", "GET", "", 200, 0.02)
    metrics.batch("digits", 8)
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
    assert found["snn_dropped_total", frozenset({("stage", "queue"), ("reason", "deadline")})] == 1
    assert found["snn_models_loaded", frozenset()] == 2
    labels = {("route", "/v1/models"), ("method", "GET"), ("model", "")}
    assert found["snn_requests_total", frozenset(labels | {("status", "200")})] == 1
    assert found["snn_request_duration_seconds_sum", frozenset(labels)] == 0.02
    assert found["snn_batch_size_sum", digits] == 8
    assert found["snn_queue_wait_seconds_sum", digits] == 0.5
    assert found["snn_predictions_total", digits] == 2
    assert found["snn_spikes_total", digits] == 20
    assert found["snn_synaptic_operations_total", digits | {("operation", "ac")}] == 200
    assert found["snn_synaptic_operations_total", digits | {("operation", "mac")}] == 14
    assert found["snn_energy_estimate_joules_total", digits | {("profile", "loihi")}] == 1e-8


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.batch("digits", 1)
    labels = frozenset({("model", "digits")})
    assert ("snn_batch_size_count", labels) in read(one)
    assert ("snn_batch_size_count", labels) not in read(other)
