"""A study is killed again and again, and ends with the results of one that was not."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.training.study.studies import TINY, toml_of
from training.study.result import Results
from training.study.results_file import read_results

EPOCHS = 40  # enough to be stopped between two of them
STUDY = TINY | {"base": TINY["base"] | {"epochs": EPOCHS}, "search": {"seed": 9, "overrides": {"epochs": 10}}}


def started(file: Path, root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "training", "study", str(file), "--out", str(root), "--jobs", "2"]
    with (root.parent / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def measured(results: Results) -> list[Any]:
    return [
        (run.arm, run.seed, run.run.test, run.run.best_epoch, [epoch["loss"] for epoch in run.run.history], run.noise)
        for run in results.runs
    ]


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ends children with their parent on Linux")
def test_a_study_that_was_killed_ends_with_the_same_results_and_leaves_no_process(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(toml_of(STUDY))
    whole = tmp_path / "whole"
    assert started(file, whole).wait(300) == 0

    root = tmp_path / "killed"
    for kill in range(4):
        study = started(file, root)
        before = set(root.glob("runs/*/training/last.ckpt"))
        wait_until(lambda before=before: set(root.glob("runs/*/training/last.ckpt")) - before)
        time.sleep(0.3 * kill)
        processes = children(study.pid)
        assert len(processes) >= 2
        study.send_signal(signal.SIGKILL)
        study.wait()
        wait_until(lambda processes=processes: not any(map(is_running, processes)), 30)
    assert started(file, root).wait(300) == 0
    assert measured(read_results(root)) == measured(read_results(whole))
    assert not list(root.glob("runs/*/training"))
