import os
import time
from pathlib import Path

import pytest

from contract.job_spec import HEARTBEAT_FILE, LOST_AFTER_SECONDS
from service.fine_tuning.heartbeat import is_lost
from training.worker.heartbeat import beat

HOUR = 3600.0
SHORT, LONG = LOST_AFTER_SECONDS - 10, LOST_AFTER_SECONDS + 10


def silent_for(folder: Path, seconds: float) -> None:
    """Let the last heartbeat be this old."""
    written = (folder / HEARTBEAT_FILE).stat().st_mtime - seconds
    os.utime(folder / HEARTBEAT_FILE, (written, written))


@pytest.mark.parametrize(
    ("taken", "silent", "lost"),
    [(SHORT, SHORT, False), (SHORT, LONG, False), (LONG, SHORT, False), (LONG, LONG, True), (None, LONG, True)],
)
def test_a_worker_is_lost_when_neither_its_claim_nor_its_heartbeat_is_recent(
    tmp_path: Path, taken: float | None, silent: float, lost: bool
) -> None:
    beat(tmp_path / HEARTBEAT_FILE, "one")
    silent_for(tmp_path, silent)
    assert is_lost(tmp_path, taken) == lost
    assert [path.name for path in tmp_path.iterdir()] == [HEARTBEAT_FILE]


@pytest.mark.parametrize(("taken", "lost"), [(SHORT, False), (LONG, True)])
def test_without_a_heartbeat_the_claim_alone_counts(tmp_path: Path, taken: float, lost: bool) -> None:
    assert is_lost(tmp_path, taken) == lost
    assert is_lost(tmp_path / "missing", taken) == lost


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
@pytest.mark.parametrize("whose", ["worker", "service"])
def test_a_clock_that_is_an_hour_off_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str, skew: float
) -> None:
    now = time.time
    with monkeypatch.context() as patch:
        if whose == "worker":
            patch.setattr(time, "time", lambda: now() + skew)
        beat(tmp_path / HEARTBEAT_FILE, "one")
    if whose == "service":
        monkeypatch.setattr(time, "time", lambda: now() + skew)
    assert not is_lost(tmp_path, LONG)
    silent_for(tmp_path, LONG)
    assert is_lost(tmp_path, LONG)


def test_a_folder_that_cannot_be_written_is_judged_by_the_clock_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    beat(tmp_path / HEARTBEAT_FILE, "one")
    monkeypatch.setattr(Path, "touch", full)
    assert not is_lost(tmp_path, LONG)
    silent_for(tmp_path, LONG)
    assert is_lost(tmp_path, LONG)
