"""Data sets and fine-tuning jobs through the client, without a worker: jobs are queued and cancelled."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from stl_snn_client import AsyncClient, Client, Conflict, NotFound
from stl_snn_client.job_events import JobMessage
from tests.stl_snn_client.running import Service, service_at
from tests.stl_snn_client.scripted import failure, scripted

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
EVENT = b'id: ev-%d\nevent: fine_tuning.job.event\ndata: {"object": "fine_tuning.job.event", "id": "ev-%d"}\n\n'
JOB = b'event: fine_tuning.job\ndata: {"object": "fine_tuning.job", "id": "ftjob-1", "status": "%s"}\n\n'


@pytest.fixture
def service(store_root: Path, tmp_path: Path) -> Iterator[Service]:
    """A service that nobody else gives jobs to."""
    with service_at(store_root, tmp_path / "data", preload=()) as running:
        yield running


def digits() -> bytes:
    values, targets = load_digits(return_X_y=True)
    buffer = io.BytesIO()
    np.savez(buffer, x=np.round(values[:100] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), y=targets[:100])
    return buffer.getvalue()


async def test_files_and_jobs_from_their_creation_to_their_deletion(service: Service, tmp_path: Path) -> None:
    data = digits()
    (tmp_path / "digits.npz").write_bytes(data)
    with Client(service.url) as client:
        files = [client.files.upload(data, filename="digits.npz"), client.files.upload(tmp_path / "digits.npz")]
        with (tmp_path / "digits.npz").open("rb") as opened:
            files.append(client.files.upload(opened))
        assert [each["filename"] for each in files] == ["digits.npz"] * 3
        assert {each["id"] for each in client.files.list(limit=2)} == {each["id"] for each in files}
        assert client.files.content(files[0]["id"]) == data
        assert client.files.get(files[0]["id"])["dataset"]["samples"] == 100
        assert client.files.delete(files[1]["id"])["deleted"]
        with pytest.raises(ValueError, match="filename"):
            client.files.upload(data)

        file = files[0]["id"]
        job = client.fine_tune.create("tiny-image", file, metadata={"team": "red"}, n_epochs=2, idempotency_key="mine")
        assert (job["status"], job["hyperparameters"]["n_epochs"]) == ("queued", 2)
        again = client.fine_tune.create(
            "tiny-image", file, metadata={"team": "red"}, n_epochs=2, idempotency_key="mine"
        )
        assert again["id"] == job["id"]
        with pytest.raises(Conflict):
            client.fine_tune.create("tiny-image", file, idempotency_key="mine")
        second = client.fine_tune.create("tiny-image", file, seed=7, promote="if_better", priority=3, suffix="mine")
        assert (second["seed"], second["promote"], second["priority"]) == (7, "if_better", 3)
        assert [each["id"] for each in client.fine_tune.list(limit=1)] == [second["id"], job["id"]]
        assert [each["id"] for each in client.fine_tune.list(metadata={"team": "red"})] == [job["id"]]
        with pytest.raises(TimeoutError, match="queued"):
            client.fine_tune.wait(job["id"], timeout=0.05)

        followed: list[JobMessage] = []
        began = threading.Event()

        def follow() -> None:
            for message in client.fine_tune.events(job["id"]):
                followed.append(message)
                began.set()

        following = threading.Thread(target=follow)
        following.start()
        assert began.wait(20)
        assert client.fine_tune.cancel(job["id"])["status"] == "cancelled"
        following.join(20)
        last = followed[-1]
        assert last["object"] == "fine_tuning.job"
        assert last["status"] == "cancelled"
        assert client.fine_tune.wait(job["id"])["status"] == "cancelled"
        assert [each["data"]["kind"] for each in client.fine_tune.past_events(job["id"])] == ["cancelled"]
        assert list(client.fine_tune.checkpoints(job["id"])) == []
        assert client.fine_tune.resume(job["id"])["status"] == "queued"
        client.fine_tune.cancel(job["id"])

    async with AsyncClient(service.url) as other:
        assert [each["id"] async for each in other.fine_tune.list(limit=1)] == [second["id"], job["id"]]
        kinds = [each["object"] async for each in other.fine_tune.events(job["id"])]
        assert kinds[-1] == "fine_tuning.job"
        assert kinds.count("fine_tuning.job.event") == 3
        assert (await other.fine_tune.wait(job["id"]))["id"] == job["id"]
        assert (await other.fine_tune.delete(job["id"]))["deleted"]
        with pytest.raises(NotFound):
            _ = [each async for each in other.fine_tune.events(job["id"])]


async def test_a_stream_of_events_goes_on_after_the_last_one_that_was_received(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_pause(seconds: float) -> None:
        pass

    monkeypatch.setattr("stl_snn_client.client.time.sleep", lambda _: None)
    monkeypatch.setattr("stl_snn_client.async_client.asyncio.sleep", no_pause)
    parts = [
        HEAD + JOB % b"running" + EVENT % (1, 1) + EVENT[:20],
        failure(503, "jobs_unavailable"),
        b"",
        HEAD + EVENT % (2, 2),
        b"",
        b"",
        HEAD + EVENT % (3, 3) + JOB % b"succeeded",
    ]
    with scripted(*parts) as server, Client(server.url, retries=1) as client:
        found = list(client.fine_tune.events("ftjob-1", last_event_id="ev-0"))
    assert [each["id"] for each in found] == ["ftjob-1", "ev-1", "ev-2", "ev-3", "ftjob-1"]
    asked = [request.lower().split(b"last-event-id: ")[1].split(b"\r\n")[0] for request in server.requests]
    assert asked == [b"ev-0", b"ev-1", b"ev-1", b"ev-1", b"ev-2", b"ev-2", b"ev-2"]
    with scripted(*parts) as server:
        async with AsyncClient(server.url, retries=1) as other:
            assert [each async for each in other.fine_tune.events("ftjob-1", last_event_id="ev-0")] == found
