import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import InvalidParameter
from contract.job_events import (
    EVENTS_FILE,
    Cancelled,
    EpochDone,
    Event,
    Progress,
    Published,
    Started,
    Unknown,
    Waiting,
    append_event,
    read_events,
)
from service.fine_tuning.history import Histories, History, PublishedVersion, event_id, place_of

JOB = "ftjob-0123456789abcdef01234567"


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    (tmp_path / JOB).mkdir()
    return Histories(tmp_path)


def progress(at: float, step: int, attempt: int = 1) -> Event:
    data = Progress(attempt=attempt, epochs=10, step=step, steps=100, epoch=step // 10, loss=None)
    return Event(created_at=at, message="", data=data)


def test_a_job_without_events_has_an_empty_history(tmp_path: Path) -> None:
    assert Histories(tmp_path).read("ftjob-1") == History()
    assert Histories(tmp_path).page("ftjob-1", None, 10) == ([], False)
    assert Histories(tmp_path).piece("ftjob-1", 0) == ([], 0)
    assert Histories(tmp_path).end("ftjob-1") == 0


def test_a_history_is_read_on_from_where_it_was_left(histories: Histories) -> None:
    folder = histories.folder(JOB)
    for attempt in range(1, 4):
        append_event(folder, "on", Started(attempt=attempt))
        assert histories.read(JOB).attempt == attempt
        assert histories.read(JOB) == Histories(histories.root).read(JOB)
    assert histories.read(JOB).end == histories.end(JOB)


def test_half_a_line_is_not_yet_an_event(histories: Histories) -> None:
    folder = histories.folder(JOB)
    append_event(folder, "one", Unknown())
    whole = (folder / EVENTS_FILE).read_bytes()
    with (folder / EVENTS_FILE).open("ab") as file:
        file.write(whole[:20])
    assert [event.message for _, event in histories.piece(JOB, 0)[0]] == ["one"]
    assert [event.message for _, event in histories.page(JOB, None, 10)[0]] == ["one"]
    before = histories.read(JOB)
    with (folder / EVENTS_FILE).open("ab") as file:
        file.write(whole[20:])
    assert [event.message for _, event in histories.piece(JOB, before.end)[0]] == ["one"]


def test_a_shorter_file_is_another_one(histories: Histories) -> None:
    folder = histories.folder(JOB)
    for attempt in (1, 2):
        append_event(folder, "on", Started(attempt=attempt))
    assert histories.read(JOB).attempt == 2
    (folder / EVENTS_FILE).unlink()
    append_event(folder, "on", Started(attempt=1))
    assert histories.read(JOB).attempt == 1


def test_a_long_history_is_read_from_its_ends(histories: Histories, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = histories.folder(JOB)
    append_event(folder, "on", Started(attempt=1))
    line = progress(1000.0, 1).model_dump_json().encode() + b"\n"
    with (folder / EVENTS_FILE).open("ab") as file:
        file.write(line * (20 * 1024 * 1024 // len(line)))
    append_event(folder, "step", Progress(attempt=2, epochs=10, step=77, steps=100, epoch=7, loss=None))
    begun = time.monotonic()
    history = histories.read(JOB)
    [(end, event)], more = histories.page(JOB, None, 1)
    [(_, before)], _ = histories.page(JOB, end, 1)
    assert time.monotonic() - begun < 0.5
    assert (history.attempt, history.step, history.end) == (2, 77, histories.end(JOB)) == (2, 77, end)
    assert history.started_at is not None
    assert (event.data.step, before.data.step, more) == (77, 1, True)  # type: ignore[union-attr]
    events, behind = histories.piece(JOB, 0)
    assert len(events) < 1000
    assert events[-1][0] == behind


def test_of_many_histories_those_that_were_not_read_for_longest_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[tuple[str, int]] = []

    def watch(folder: Path, start: int = 0) -> Iterator[tuple[int, Event]]:
        starts.append((folder.name, start))
        return read_events(folder, start)

    monkeypatch.setattr("service.fine_tuning.history.read_events", watch)
    monkeypatch.setattr("service.fine_tuning.history._REMEMBERED", 2)
    histories = Histories(tmp_path)
    for job in "abc":
        histories.folder(job).mkdir()
        append_event(histories.folder(job), "on", Started(attempt=1))
    for job in "abacacb":
        assert histories.read(job).attempt == 1
    from_the_start = [job for job, start in starts if start == 0]
    assert from_the_start == ["a", "b", "c", "b"], starts


def test_a_history_follows_the_events_and_passes_over_unknown_ones() -> None:
    done = EpochDone(
        epoch=2,
        epochs=10,
        step=20,
        steps=100,
        attempt=1,
        loss=0.5,
        accuracy=0.75,
        spikes_per_sample=9.0,
        baseline_accuracy=None,
    )
    happened = [Started(attempt=1), done, Unknown.model_validate({"kind": "step", "attempt": 7, "step": 99})]
    history = History()
    for end, data in enumerate([*happened, Waiting(attempt=2), Published(attempt=2, model="tiny/2")], start=1):
        history = history.after(end, Event(created_at=1000.0 + end, message="", data=data))
    assert (history.end, history.started_at, history.attempt) == (5, 1001.0, 2)
    assert (history.epoch, history.step, history.steps, history.progress_at) == (2, 20, 100, 1002.0)
    assert history.metrics == {"loss": 0.5, "accuracy": 0.75, "spikes_per_sample": 9.0}
    assert history.pace is None  # of an attempt that has reported no progress
    assert history.published == PublishedVersion("tiny/2", 1005.0, 20, history.metrics)


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
    Histories(tmp_path).add(JOB, "The job was cancelled.", Cancelled())
    assert "The job was cancelled." in caplog.text
