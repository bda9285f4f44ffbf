import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from contract.files import unfinished_path
from tests.tiny import tiny_image_config
from training.errors import ConfigError
from training.learning.run_folder import (
    BEST,
    CONFIG_FILE,
    LAST,
    LOG_FOLDER,
    AtomicCheckpoints,
    SavedStates,
    close_run,
    open_run,
)

CONFIG = tiny_image_config()


def test_the_last_of_the_best_epochs_is_chosen(tmp_path: Path) -> None:
    states = SavedStates(tmp_path)
    chosen = []
    for epoch, accuracy in enumerate([0.5, 0.9, 0.8, 0.9, 0.7]):
        if states.improves(accuracy):
            states.best = accuracy
            chosen.append(epoch)
    assert chosen == [0, 1, 3]


def test_a_new_folder_is_taken_and_left_without_a_trace(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    with open_run(run, CONFIG, resume=False):
        assert (run / CONFIG_FILE).exists()
    close_run(run)
    assert not run.exists()


def test_the_log_of_a_finished_run_stays_and_does_not_keep_the_next_one_out(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    for _ in range(2):
        with open_run(run, CONFIG, resume=False):
            (run / LOG_FOLDER).mkdir(exist_ok=True)
            (run / LAST).write_text("state")
        close_run(run)
        assert [entry.name for entry in run.iterdir()] == [LOG_FOLDER]


def test_a_folder_with_anything_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="not empty"), open_run(tmp_path, CONFIG, resume=False):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_leaving_removes_only_what_a_run_has_written(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with open_run(run, CONFIG, resume=False):
        (run / "notes.txt").write_text("mine")
        (run / LAST).write_text("state")
        unfinished_path(run / BEST).write_text("half")  # left by a kill
    close_run(run)
    assert [file.name for file in run.iterdir()] == ["notes.txt"]


def test_a_running_run_is_not_called_a_stopped_one(tmp_path: Path) -> None:
    for resume in (False, True):
        with (
            open_run(tmp_path / "run", CONFIG, resume=resume),
            pytest.raises(ConfigError, match="is running"),
            open_run(tmp_path / "run", CONFIG, resume=True),
        ):
            pass


SAVE = """
import os, sys, torch
from training.learning.run_folder import AtomicCheckpoints
state = {"weights": torch.zeros(20_000_000), "number": 0}
for _ in sys.stdin:
    if not (child := os.fork()):
        while True:
            state["number"] += 1
            AtomicCheckpoints().save_checkpoint(state, sys.argv[1])
            print(os.getpid(), flush=True)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


def test_a_kill_while_saving_leaves_a_whole_state(tmp_path: Path) -> None:
    elsewhere = {"TMPDIR": "/dev/shm"} if Path("/dev/shm").is_dir() else {}
    command = [sys.executable, "-c", SAVE, str(tmp_path / LAST)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | elsewhere
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for pause in (0.0, 0.05, 0.11):
            parent.stdin.write("save\n")
            parent.stdin.flush()
            saving = int(parent.stdout.readline())
            time.sleep(pause)
            os.kill(saving, signal.SIGKILL)
            while parent.stdout.readline() != "killed\n":
                pass
            assert torch.load(tmp_path / LAST, weights_only=True)["number"] >= 1
            assert {file.name for file in tmp_path.iterdir()} <= {LAST, f".{LAST}"}
        parent.stdin.close()


def test_states_are_saved_beside_their_place(tmp_path: Path) -> None:
    AtomicCheckpoints().save_checkpoint({"number": 1}, tmp_path / LAST)
    assert [file.name for file in tmp_path.iterdir()] == [LAST]
