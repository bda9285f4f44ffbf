import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHECK = (
    "import sys, training.__main__, training.worker.worker, training.die_with_parent;sys.exit('torch' in sys.modules)"
)


def test_a_process_that_only_waits_for_jobs_does_without_torch() -> None:
    subprocess.run([sys.executable, "-c", CHECK], cwd=ROOT, check=True)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--preset", "nothing"], ["worker", "--health"]])
def test_what_trains_nothing_does_not_wait_for_torch(arguments: list[str], tmp_path: Path) -> None:
    settings = {"SNN_DATA_DIR": str(tmp_path), "SNN_DEVICE": "cuda:1"}
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "training", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("SNN_")} | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "contract.settings" in ended.stderr
    assert "torch" not in {line.split()[-1] for line in ended.stderr.splitlines() if line}


def test_many_signals_at_once_end_the_worker_as_one_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as errors:
        command = [sys.executable, "-m", "training", "worker"]
        environment = os.environ | {"SNN_DATA_DIR": str(tmp_path / "data")}
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=errors)
    try:
        while "waits for jobs" not in log.read_text():
            assert worker.poll() is None
            time.sleep(0.05)
        for _ in range(100):
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
