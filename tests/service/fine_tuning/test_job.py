import logging

import pytest

from contract.errors import Failure
from service.fine_tuning.history import History, PublishedVersion
from service.fine_tuning.job import ENDED, STATUSES, JobRow, job_from_row
from tests.service.jobs_at_work import job_spec

HISTORY = History(started_at=20.0, published=PublishedVersion("tiny/2", 30.0, 12, {}))


def row(state: str, failure: Failure | None = None) -> JobRow:
    specification = job_spec(1).model_dump(mode="json")
    return JobRow(job_spec(1).id, state, specification, failure, created_at=10.0, taken_at=15.0, ended_at=40.0)


@pytest.mark.parametrize("state", STATUSES)
def test_a_job_is_its_row_and_its_history(state: str) -> None:
    job = job_from_row(row(state), HISTORY, queue_position=3)
    assert job is not None
    assert job.status == STATUSES[state]
    assert job.has_ended == (job.status in ENDED)
    assert (job.finished_at, job.fine_tuned_model) == ((40.0, "tiny/2") if job.has_ended else (None, None))
    assert job.queue_position == (3 if job.status == "queued" else None)
    assert (job.error is not None) == (job.status == "failed")
    assert (job.created_at, job.started_at) == (10.0, 20.0)


def test_until_its_training_reports_a_job_starts_when_it_is_taken() -> None:
    job = job_from_row(row("PENDING"), History(), None)
    assert job is not None
    assert job.started_at == 15.0


def test_a_failure_is_the_one_that_was_reported_and_otherwise_says_what_happened() -> None:
    reported = Failure("diverged", "it diverged", "seed")
    found = [
        job_from_row(row("ERROR", reported), HISTORY, None),
        job_from_row(row("MAX_RECOVERY_ATTEMPTS_EXCEEDED"), HISTORY, None),
        job_from_row(row("ERROR"), HISTORY, None),
    ]
    failures = [job.error for job in found if job is not None]
    assert failures[0] == reported
    assert [failure.code for failure in failures[1:] if failure is not None] == ["internal_error"] * 2
    assert "too many times" in str(failures[1])
    assert "its log" in str(failures[2])


def test_a_row_that_is_not_a_job_is_logged_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert job_from_row(JobRow("x", "ENQUEUED", {"id": "x"}, None, 0.0, None, None), History(), None) is None
    assert "job x cannot be read" in caplog.text
