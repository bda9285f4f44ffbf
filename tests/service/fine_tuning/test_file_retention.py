import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from contract.errors import FileNotFound
from contract.job_spec import DataFile
from service.fine_tuning.file_retention import remove_old_files
from service.fine_tuning.queue import JobQueue
from service.fine_tuning.retention import Retention
from service.uploads.storage import Upload, Uploads
from tests.service.jobs_at_work import job_spec
from tests.service.uploads.contents import put, uploads_in

DAY_SECONDS = 24 * 60 * 60


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return uploads_in(tmp_path / "data")


def put_earlier(uploads: Uploads, folder: Path, days: float) -> Upload:
    """An upload as if it had been made some days ago."""
    made = put(uploads, str(days).encode())
    path = folder / "data" / "uploads" / f"{made.id}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created_at": made.created_at - days * DAY_SECONDS}))
    return made


def data_file(upload: Upload) -> DataFile:
    return DataFile(id=upload.id, filename=upload.filename, sha256=upload.sha256)


async def test_old_files_go_unless_a_job_that_has_not_ended_uses_them(
    jobs: JobQueue, uploads: Uploads, tmp_path: Path
) -> None:
    trained, validated, ended, old, new = (put_earlier(uploads, tmp_path, days) for days in (9, 8, 7, 6, 4))
    for number, (training, validation) in enumerate(((trained, validated), (ended, None))):
        await jobs.submit(
            job_spec(
                number,
                training_file=data_file(training),
                validation_file=None if validation is None else data_file(validation),
            )
        )
    await jobs.cancel(job_spec(1).id)

    assert await remove_old_files(uploads, jobs, 5) == 2

    assert {upload.id for upload in uploads.all()} == {trained.id, validated.id, new.id}
    with pytest.raises(FileNotFound):
        uploads.get(old.id)


async def test_no_file_goes_while_the_database_does_not_answer(
    uploads: Uploads, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = put_earlier(uploads, tmp_path, 9)
    jobs = JobQueue("sqlite:////proc/jobs.sqlite", tmp_path / "jobs")
    retention = Retention("uploads", partial(remove_old_files, uploads, jobs), 5)
    retention.start()
    async with asyncio.timeout(20):
        while "old uploads were not removed" not in caplog.text:
            await asyncio.sleep(0.01)
    await retention.stop()
    await jobs.close()

    assert [upload.id for upload in uploads.all()] == [old.id]


async def test_files_go_by_themselves_where_days_are_set_and_only_there(
    jobs: JobQueue, uploads: Uploads, tmp_path: Path
) -> None:
    put_earlier(uploads, tmp_path, 9)
    for days in (None, 10.0, 5.0):
        assert len(uploads.all()) == 1
        retention = Retention("uploads", partial(remove_old_files, uploads, jobs), days)
        retention.start()
        async with asyncio.timeout(20):
            while days == 5.0 and uploads.all():
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await retention.stop()
