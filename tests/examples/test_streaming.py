"""The examples of live streams, against a running service: a recording, and events that come by UDP."""

import runpy
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.events.records import Events8, Events13
from stl_snn_client import Client
from tests.stl_snn_client.running import Service, service_at
from tests.tiny import EVENT_STEPS, moving_bar

EXAMPLES = Path(__file__).parents[2] / "examples"
BAR = moving_bar(np.random.default_rng(1), right=True)
COLUMNS = {name: BAR[:, index].tolist() for index, name in enumerate("txyp")}
MODEL = "tiny-events"


@pytest.fixture(scope="module")
def service(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service_at(tiny_store_root, tmp_path_factory.mktemp("data"), preload=(MODEL,)) as running:
        yield running


@pytest.fixture(scope="module")
def predicted(service: Service) -> str:
    """The label and score that a prediction gives the recording."""
    with Client(service.url) as client:
        [prediction] = client.predict(MODEL, {"events": COLUMNS})["predictions"]
    return f"{prediction['label']} {prediction['score']:.3f}"


def run(monkeypatch: pytest.MonkeyPatch, example: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [example, *arguments])
    runpy.run_path(str(EXAMPLES / example))["main"]()


@pytest.mark.parametrize("speed", [0, 0.005])
def test_a_recording_is_replayed_at_its_speed(
    service: Service,
    predicted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    speed: float,
) -> None:
    path = tmp_path / "bar.csv"
    path.write_text("\n".join(["t,x,y,p", *(",".join(map(str, event)) for event in BAR.tolist())]))
    began = time.monotonic()
    run(monkeypatch, "stream_recording.py", MODEL, str(path), "--url", service.url, "--speed", str(speed))
    lasted = time.monotonic() - began
    shown = capsys.readouterr().out
    label, score = predicted.split()
    assert f"step {EVENT_STEPS - 1}: {label}" in shown
    assert score in shown
    assert "█" in shown
    assert f"{len(BAR)} events in {EVENT_STEPS} steps; 0 late, 0 dropped" in shown
    assert not speed or lasted > (BAR[-1, 0] - BAR[0, 0]) / 1e6 / speed


def datagrams(format: str) -> list[bytes]:
    """The recording as faery or AEStream sends it, 20 events a datagram and, for the last time, a broken record."""
    t, x, y, p = BAR.T
    if format == "events13":
        records = np.empty(len(BAR), Events13.WORD)
        records["t"], records["x"], records["y"], records["p"] = t, x, y, p
    elif format == "events8":
        records = np.empty(len(BAR), Events8.WORD)
        records["t"], records["x"], records["yp"] = t, x, y << 1 | p
    else:
        records = np.stack([x << 16 | p << 15 | y, t], axis=1).astype("<u4")
    return [records[start : start + 20].tobytes() for start in range(0, len(BAR), 20)]


@pytest.mark.parametrize("format", ["events13", "events8", "spif"])
def test_events_that_come_by_udp_are_decided_on(
    service: Service,
    predicted: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    format: str,
) -> None:
    shown = bridge(service, monkeypatch, capsys, format, [*datagrams(format), datagrams(format)[-1][:3]])
    assert f"step {EVENT_STEPS - 1}: {predicted}" in shown
    assert f"{len(BAR)} events, 0 datagrams lost" in shown


def test_words_without_a_time_happen_when_they_come(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = struct.pack("<3I", *[1 << 31 | 3 << 16 | 1 << 15 | 4] * 3)
    shown = bridge(service, monkeypatch, capsys, "spif", [words, words], "downsample=2", pause=0.1)
    assert "6 events" in shown
    assert shown.count("step ") >= 3  # of a millisecond each


def bridge(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    format: str,
    sent: list[bytes],
    *parameters: str,
    pause: float = 0.001,
) -> str:
    """What the bridge prints while these datagrams come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = ""

    def send() -> None:
        nonlocal shown
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while "listening" not in shown:
                time.sleep(0.01)
                shown += capsys.readouterr().out
            for datagram in sent:
                sender.sendto(datagram, ("127.0.0.1", port))
                time.sleep(pause)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    options = ["--port", str(port), "--format", format, "--idle", "0.3", "--url", service.url]
    run(monkeypatch, "udp_bridge.py", MODEL, *parameters, *options)
    sending.join(20)
    return shown + capsys.readouterr().out
