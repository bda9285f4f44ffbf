import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from contract.job_spec import LOCK_FILE, PLACED_VARIABLE
from contract.settings import Settings
from training.fine_tuning.process import (
    Stop,
    choose_training_threads,
    hold_device,
    hold_job,
    training_device,
)


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Listening, until the test ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = Stop()
    stop.listen()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_at_once(stop: Stop, number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as raised:
        os.kill(os.getpid(), number)
    assert raised.value.code == 128 + number


def test_a_signal_in_the_loop_waits_for_the_end_of_the_batch(stop: Stop) -> None:
    reached = []

    def loop() -> None:
        with stop.between_batches():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the batch goes on")
            stop.check()
            reached.append("the next batch")

    with pytest.raises(SystemExit) as raised:
        loop()
    assert raised.value.code == 128 + signal.SIGTERM
    assert reached == ["the batch goes on"]


def test_a_signal_in_the_last_batch_is_not_lost(stop: Stop) -> None:
    with pytest.raises(SystemExit), stop.between_batches():
        os.kill(os.getpid(), signal.SIGTERM)


def test_the_trainers_own_way_out_gets_the_right_status(stop: Stop) -> None:
    def loop() -> None:
        with stop.between_batches():
            os.kill(os.getpid(), signal.SIGTERM)
            raise SystemExit

    with pytest.raises(SystemExit) as raised:
        loop()
    assert raised.value.code == 128 + signal.SIGTERM


@pytest.mark.parametrize(("cores", "threads"), [(0.5, 1), (1, 1), (2, 1), (3, 1), (4, 2), (16, 8), (64, 8)])
def test_a_training_takes_half_of_the_cores(cores: float, threads: int) -> None:
    assert choose_training_threads(cores) == threads


def test_a_device_has_its_number() -> None:
    assert str(training_device(Settings(device="cuda"))) == "cuda:0"
    assert str(training_device(Settings(device="cuda:3"))) == "cuda:3"
    assert training_device(Settings(device="auto")).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_job_has_one_process(tmp_path: Path) -> None:
    with FileLock(tmp_path / LOCK_FILE):
        assert hold_job(tmp_path) is None
    held = hold_job(tmp_path)
    assert held is not None
    with held:
        assert hold_job(tmp_path) is None
    again = hold_job(tmp_path)
    assert again is not None
    with again:
        pass


def test_a_free_device_is_taken_without_a_word(tmp_path: Path) -> None:
    told: list[str] = []
    with hold_device(tmp_path, torch.device("cpu"), lambda: told.append("waiting")):
        pass
    assert told == []


def test_a_process_whose_device_was_reserved_takes_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    with hold_device(tmp_path, device, lambda: None):
        monkeypatch.setenv(PLACED_VARIABLE, "1")
        with hold_device(tmp_path, device, pytest.fail):
            pass
