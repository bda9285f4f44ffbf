import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failure
from contract.files import append_line
from contract.job_events import (
    EVENTS_FILE,
    Data,
    Event,
    Failed,
    Killed,
    Resumed,
    Started,
    Stopped,
    Waiting,
    append_event,
)
from contract.job_spec import BUSY, SPEC_FILE, JobSpec
from tests.service.jobs_at_work import job_spec
from tests.training.jobs import events, kinds, reported
from training.worker.attempts import DEATHS_WITHOUT_PROGRESS, Attempts, JobFailed
from training.worker.watch import trained_seconds

# Stands in for Python with the training: does one step of its plan a start, in the folder it is given, and ends.
CHILD = """#!{python}
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from contract.job_events import EpochDone, Failed, Published, Started, append_event
from training.fine_tuning import sign_of_life
from training.fine_tuning.sign_of_life import show_life
sign_of_life.ALIVE_SECONDS = 0.1
assert sys.argv[1:5] == ["-m", "training", "fine-tune", "--job"], sys.argv
folder = Path(sys.argv[5])
plan = (folder / "plan").read_text().split()
done = folder / "done"
step = plan[len(done.read_text()) if done.exists() else 0]
with done.open("a") as file:
    file.write(".")
match step:
    case "epoch":
        measured = dict(loss=0.5, accuracy=0.5, spikes_per_sample=1.0, baseline_accuracy=None)
        where = dict(epoch=1, epochs=2, step=1, steps=2, attempt=1)
        append_event(folder, "epoch", EpochDone(**where, **measured))
        os.kill(os.getpid(), signal.SIGKILL)
    case "die":
        os.kill(os.getpid(), signal.SIGKILL)
    case "publish":
        append_event(folder, "published", Published(attempt=1, model="tiny/2"))
    case "fail":
        append_event(folder, "it diverged", Failed(attempt=1, code="diverged", param="seed"))
        sys.exit(1)
    case "hang":
        time.sleep(600)
    case "work" | "freeze":
        append_event(folder, "started", Started(attempt=1))
        show_life(folder)
        if step == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(1.5)
        append_event(folder, "published", Published(attempt=1, model="tiny/2"))
    case status:
        sys.exit(int(status))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder; its children follow the plan in it."""
    child = tmp_path / "child"
    child.write_text(CHILD.format(python=sys.executable, root=str(Path(__file__).parents[3])))
    child.chmod(0o755)
    monkeypatch.setattr("training.worker.child.sys.executable", str(child))
    monkeypatch.setattr("training.worker.attempts.BUSY_SECONDS", 0.01)
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


async def run(folder: Path, *plan: str, lost: bool = False, stop_after: float | None = None, **limits: Any) -> bool:
    """Run the attempts of a job, whose worker is asked to stop, or loses the job, after some time."""
    (folder / "plan").write_text(" ".join(plan))
    ends = asyncio.get_running_loop().create_future()
    never = asyncio.get_running_loop().create_future()
    if stop_after is not None:
        asyncio.get_running_loop().call_later(stop_after, ends.set_result, None)
    attempts = Attempts(job_spec(1), folder, {}, grace_seconds=5, **limits)
    async with asyncio.timeout(60):
        return await (attempts.run(ends, never) if lost else attempts.run(never, ends))


def starts(folder: Path) -> int:
    return len((folder / "done").read_text())


async def failure(folder: Path, *plan: str, **limits: Any) -> Failure:
    with pytest.raises(JobFailed) as caught:
        await run(folder, *plan, **limits)
    assert str(caught.value) == caught.value.failure.message
    return caught.value.failure


async def test_a_child_that_publishes_ends_the_job_and_finds_its_specification(folder: Path) -> None:
    assert await run(folder, "publish")
    assert JobSpec.model_validate_json((folder / SPEC_FILE).read_text()) == job_spec(1)


async def test_a_child_that_is_killed_is_started_again(folder: Path) -> None:
    assert await run(folder, "die", "epoch", "publish")
    assert [killed.signal for killed in reported(folder, Killed)] == [signal.SIGKILL] * 2
    assert kinds(folder) == ["killed", "metrics", "killed", "published"]


async def test_a_child_that_is_killed_without_progress_again_and_again_fails_its_job(folder: Path) -> None:
    found = await failure(folder, *["die"] * 10)
    assert found.code == "killed"
    assert starts(folder) == DEATHS_WITHOUT_PROGRESS + 1


async def test_a_finished_epoch_is_progress(folder: Path) -> None:
    assert await run(folder, *["die", "die", "epoch"] * 3, "publish")
    assert starts(folder) == 10


async def test_an_epoch_of_an_earlier_child_is_not_the_progress_of_this_one(folder: Path) -> None:
    found = await failure(folder, "epoch", *["die"] * 10)
    assert found.code == "killed"
    assert starts(folder) == DEATHS_WITHOUT_PROGRESS + 1


async def test_a_child_that_says_why_it_failed_is_believed(folder: Path) -> None:
    assert await failure(folder, "fail") == Failure("diverged", "it diverged", "seed")


async def test_a_failure_of_an_earlier_run_is_not_repeated(folder: Path) -> None:
    append_event(folder, "it diverged", Failed(attempt=1, code="diverged", param=None))
    found = await failure(folder, "3")
    assert found.code == "internal_error"
    assert "exit status 3" in found.message


async def test_a_child_that_ends_well_without_a_version_fails_its_job(folder: Path) -> None:
    found = await failure(folder, "0")
    assert (found.code, "without a new version" in found.message) == ("internal_error", True)


async def test_a_child_that_finds_another_one_at_work_is_started_again(folder: Path) -> None:
    assert await run(folder, str(BUSY), str(BUSY), "publish")
    assert starts(folder) == 3


async def test_a_worker_that_is_asked_to_stop_stops_its_child_and_reports_it(folder: Path) -> None:
    assert not await run(folder, "hang", stop_after=1)
    assert reported(folder, Stopped) == [Stopped()]
    assert reported(folder, Killed) == []


async def test_a_child_that_was_stopped_by_a_signal_is_killed_and_started_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.worker.watch.WATCH_SECONDS", 0.1)
    assert await run(folder, "freeze", "work", stall_seconds=3)
    assert starts(folder) == 2
    assert reported(folder, Killed) == [Killed(signal=signal.SIGKILL)]
    [message] = [event.message for event in events(folder) if isinstance(event.data, Killed)]
    assert message == "killed by SIGKILL: no sign of life for 3 s"


async def test_a_job_that_trains_too_long_fails_and_may_train_as_long_again_once_it_is_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.worker.watch.WATCH_SECONDS", 0.1)
    found = await failure(folder, "work", "work", "work", train_seconds=0.72)
    assert (found.code, "0.0002 hours" in found.message) == ("time_limit", True)
    append_event(folder, "stopped", Stopped())
    before = starts(folder)
    assert (await failure(folder, "work", "work", "work", train_seconds=0.72)).code == "time_limit"
    append_event(folder, "resumed", Resumed())
    assert await run(folder, "work", "work", "work", train_seconds=60)
    assert starts(folder) == before + 2
    assert reported(folder, Killed) == []


def test_time_is_counted_while_a_child_trains_and_since_the_last_resume(tmp_path: Path) -> None:
    def tell(at: float, data: Data) -> None:
        event = Event(created_at=at, message="", data=data)
        append_line(tmp_path / EVENTS_FILE, event.model_dump_json().encode())

    assert trained_seconds(tmp_path) == 0
    tell(0, Started(attempt=1))
    tell(100, Killed(signal=9))
    assert trained_seconds(tmp_path) == 100
    tell(500, Waiting(attempt=2))
    tell(1000, Started(attempt=2))
    assert trained_seconds(tmp_path) == 100
    tell(1010, Stopped())
    tell(2000, Started(attempt=3))
    tell(2001, Stopped())
    assert trained_seconds(tmp_path) == 111
    tell(3000, Resumed())
    assert trained_seconds(tmp_path) == 0
    tell(3001, Started(attempt=4))
    tell(3003, Stopped())
    assert trained_seconds(tmp_path) == 2


async def test_a_job_that_is_lost_is_stopped_without_a_word(folder: Path) -> None:
    assert not await run(folder, "hang", stop_after=1, lost=True)
    assert kinds(folder) == []


async def test_a_folder_that_cannot_be_made_fails_the_job(folder: Path) -> None:
    file = folder / "file"
    file.write_text("")
    attempts = Attempts(job_spec(1), file / "job", {}, grace_seconds=5)
    never = asyncio.get_running_loop().create_future()
    with pytest.raises(JobFailed) as caught:
        await attempts.run(never, never)
    assert caught.value.failure.code == "internal_error"
    assert "the job's folder cannot be used" in str(caught.value)
