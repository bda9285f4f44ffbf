import time
from pathlib import Path

import pytest

from contract.errors import InvalidParameter
from contract.job_events import EVENTS_FILE, Event, append_event
from service.fine_tuning.history import Histories, History, event_id, place_of

JOB = "ftjob-0123456789abcdef01234567"


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    (tmp_path / JOB).mkdir()
    return Histories(tmp_path)


def progress(at: float, step: int, attempt: int = 1) -> Event:
    return Event(created_at=at, message="", data={"kind": "progress", "attempt": attempt, "step": step, "steps": 100})


def test_a_job_without_events_has_an_empty_history(tmp_path: Path) -> None:
    assert Histories(tmp_path).read("ftjob-1") == History()
    assert Histories(tmp_path).events("ftjob-1") == []
    assert Histories(tmp_path).heartbeat("ftjob-1") is None


def test_a_history_is_read_on_from_where_it_was_left(histories: Histories) -> None:
    folder = histories.folder(JOB)
    for attempt in range(1, 4):
        append_event(folder, "on", data={"kind": "started", "attempt": attempt})
        assert histories.read(JOB).attempt == attempt
        assert histories.read(JOB) == Histories(histories.root).read(JOB)
    assert histories.read(JOB).end == histories.end(JOB)


def test_half_a_line_is_not_yet_an_event(histories: Histories) -> None:
    folder = histories.folder(JOB)
    append_event(folder, "one")
    whole = (folder / EVENTS_FILE).read_bytes()
    with (folder / EVENTS_FILE).open("ab") as file:
        file.write(whole[:20])
    assert [event.message for _, _, event in histories.events(JOB)] == ["one"]
    before = histories.read(JOB)
    with (folder / EVENTS_FILE).open("ab") as file:
        file.write(whole[20:])
    assert [event.message for _, _, event in histories.events(JOB, before.end)] == ["one"]


def test_a_shorter_file_is_another_one(histories: Histories) -> None:
    folder = histories.folder(JOB)
    for attempt in (1, 2):
        append_event(folder, "on", data={"kind": "started", "attempt": attempt})
    assert histories.read(JOB).attempt == 2
    (folder / EVENTS_FILE).unlink()
    append_event(folder, "on", data={"kind": "started", "attempt": 1})
    assert histories.read(JOB).attempt == 1


def test_the_end_is_estimated_from_the_pace_of_this_attempt() -> None:
    now = time.time()
    history = History().after(1, progress(now - 100, 10))
    assert history.estimated_finish is None
    history = history.after(2, progress(now, 60))
    assert history.estimated_finish == pytest.approx(now + 80)
    history = history.after(3, progress(now, 50, attempt=2))
    assert history.estimated_finish is None  # one point is no pace
    assert history.after(4, progress(now + 10, 60, attempt=2)).estimated_finish == pytest.approx(now + 50)


def test_what_should_be_done_by_now_is_estimated_for_now() -> None:
    now = time.time()
    late = History().after(1, progress(now - 100, 0)).after(2, progress(now - 90, 90))
    assert late.estimated_finish == pytest.approx(now, abs=1)


@pytest.mark.parametrize("identity", ["", "x", "ftevent-x-1", f"ftevent-{JOB[6:]}-", f"ftevent-{JOB[6:]}-²", JOB])
def test_what_is_no_event_of_the_job_is_refused(identity: str) -> None:
    with pytest.raises(InvalidParameter):
        place_of(JOB, identity, "after")
    assert place_of(JOB, event_id(JOB, 17), "after") == 17


def test_an_event_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / JOB).write_text("a file in the way")
    Histories(tmp_path).tell(JOB, "The job was cancelled.", kind="cancelled")
    assert "The job was cancelled." in caplog.text
