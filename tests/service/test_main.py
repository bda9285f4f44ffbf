import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from contract.settings_help import describe
from service.__main__ import main
from tests.service.engine.engines import not_built
from tests.service.process import ROOT, environment, started


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )


def test_help_lists_every_setting_under_its_heading() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert describe() in done.stdout
    assert "SNN_PORT [8000]" in done.stdout
    assert "openapi" in done.stdout


def test_openapi_is_printed_whatever_the_settings() -> None:
    done = run("openapi", PORT="x")
    assert done.returncode == 0
    assert "/v1/models/{name}/predict" in json.loads(done.stdout)["paths"]


def test_all_invalid_settings_are_reported_at_once() -> None:
    done = run(PROT="1", MAX_BATCH_SIZE="many", API_KEYS="a b")
    assert done.returncode == 2
    assert "SNN_PROT is not a setting; did you mean SNN_PORT?" in done.stderr
    assert "SNN_MAX_BATCH_SIZE: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "a b" not in done.stderr


@pytest.mark.parametrize(("name", "value"), [("ENERGY_PROFILES", "{"), ("DEVICE", "cuda:99"), ("PRELOAD", "A/1")])
def test_an_invalid_setting_is_reported_without_a_traceback(name: str, value: str) -> None:
    done = run(**{name: value})
    assert done.returncode == 2
    assert name in done.stderr.upper()
    assert "Traceback" not in done.stderr


def test_the_service_answers_over_the_network_and_stops_on_sigterm(tiny_store_root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started(log, MODEL_STORE=str(tiny_store_root), PRELOAD="tiny-image") as (process, address):
        with httpx.Client(base_url=address) as client:
            ends = time.monotonic() + 60
            while client.get("/health/ready").status_code != 200:
                assert time.monotonic() < ends
                time.sleep(0.05)
            answer = client.post("/v1/models/tiny-image/predict", json={"inputs": [{"pixels": [[9] * 8] * 8}]})
            assert answer.status_code == 200
            assert answer.json()["model"] == "tiny-image"
            assert "server" not in answer.headers
            too_large = client.post(
                "/v1/models/tiny-image/predict",
                content=(bytes(1024 * 1024) for _ in range(40)),
                headers={"Content-Type": "image/png", "X-Request-ID": "large-one"},
            )
            assert too_large.json()["error"]["code"] == "body_too_large"
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    text = log.read_text()
    assert "no API keys: open" in text
    assert "device " in text
    assert "ready; loaded: tiny-image/1" in text
    assert "[large-one] POST /v1/models/tiny-image/predict 413" in text
    assert "Traceback" not in text


@not_built
def test_a_service_whose_networks_the_event_engine_runs_does_not_load_torch(
    tiny_store_root: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with started(log, MODEL_STORE=str(tiny_store_root), DEVICE="cpu") as (process, address):
        answer = httpx.post(f"{address}/v1/models/tiny-image/predict", json={"inputs": [{"pixels": [[9] * 8] * 8}]})
        assert answer.status_code == 200
        loaded = Path(f"/proc/{process.pid}/maps").read_text()
    assert "_x86_64_v" in loaded  # the event engine's library
    assert "libtorch" not in loaded


def test_an_open_service_on_every_interface_logs_a_warning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started(log, MODEL_STORE=str(tmp_path), HOST="0.0.0.0"):
        pass
    assert re.search(r"WARNING .* no API keys", log.read_text())


def test_the_log_says_that_keys_are_needed_but_not_which(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started(log, MODEL_STORE=str(tmp_path), API_KEYS="one-key,other-key") as (_, address):
        assert httpx.get(f"{address}/v1/models").status_code == 401
        authorized = {"Authorization": "Bearer other-key"}
        assert httpx.get(f"{address}/v1/models", headers=authorized).status_code == 200
    text = log.read_text()
    assert "2 API key(s)" in text
    assert "-key" not in text


def test_a_grpc_port_without_the_packages_of_grpc_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNN_GRPC_PORT", "0")
    monkeypatch.setattr("service.__main__.find_spec", lambda name: None)

    assert main([]) == 2
    assert "pip install 'stl-snn[grpc]'" in capsys.readouterr().err
