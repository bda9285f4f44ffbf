import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from contract.job_events import Data, EpochDone, Progress, Published, Unknown, append_event
from contract.store import STATE_FILE
from service.fine_tuning.create_job import MAX_JOB_BYTES
from service.fine_tuning.history import event_id
from tests.service.exchange import Exchange
from tests.service.serving import Client, Serve, check

JOBS = "/v1/fine_tuning/jobs"
STREAM = {"Accept": "text/event-stream"}
PLACE = "method.supervised.hyperparameters"


@pytest.fixture
async def client(store_root: Path, serve: Serve) -> AsyncIterator[Client]:
    """A client of a service that nobody else gives jobs to."""
    async with serve(store_root, preload=()) as running:
        yield running


def digits(samples: int = 100, labels: str | None = None) -> bytes:
    """An `.npz` of digits; `labels`: a letter that goes before each."""
    values, targets = load_digits(return_X_y=True)
    buffer = io.BytesIO()
    y = targets[:samples] if labels is None else np.array([f"{labels}{target}" for target in targets[:samples]])
    np.savez(buffer, x=np.round(values[:samples] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), y=y)
    return buffer.getvalue()


async def upload(client: Client, data: bytes | None = None) -> str:
    files = {"file": ("digits.npz", data or digits())}
    answer = await client.post("/v1/files", files=files, data={"purpose": "fine-tune"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def asking(file: str, **more: Any) -> dict[str, Any]:
    return {"model": "tiny-image", "training_file": file} | more


def tuned(**hyperparameters: Any) -> dict[str, Any]:
    return {"method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}}


async def create(client: Client, file: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(JOBS, json=asking(file, **more))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def refused(client: Client, code: str, param: str | None, body: Any, status: int = 422) -> str:
    answer = await client.post(JOBS, json=body)
    assert answer.headers["x-should-retry"] == "false"
    return check(answer, status, code, param)


async def test_a_job_is_created_with_everything_chosen(client: Client) -> None:
    file = await upload(client)
    job = await create(client, file, method=None, suffix=None, integrations=None, metadata=None, seed=None)
    assert job.pop("id").startswith("ftjob-")
    created = job.pop("created_at")
    assert type(created) is int
    assert abs(created - time.time()) < 60
    resolved: dict[str, Any] = {
        "n_epochs": 40,
        "batch_size": 8,
        "learning_rate_multiplier": 1.0,
        "threshold_learning_rate_multiplier": 1.0,
        "threshold_weight_decay": 0.0,
        "threshold_floor": None,
        "learning_mode": "stl",
        "freeze": [],
        "labels": None,
        "label_count": None,
    }
    assert job == {
        "object": "fine_tuning.job",
        "started_at": None,
        "finished_at": None,
        "estimated_finish": None,
        "status": "queued",
        "queue_position": 1,
        "model": "tiny-image/1",
        "fine_tuned_model": None,
        "error": None,
        "training_file": file,
        "validation_file": None,
        "hyperparameters": resolved,
        "method": {"type": "supervised", "supervised": {"hyperparameters": resolved}},
        "suffix": None,
        "seed": 0,
        "metadata": {},
        "priority": 0,
        "promote": "never",
        "attempt": 0,
        "progress": {"epoch": 0, "epochs": 40, "step": 0, "steps": None},
        "metrics": {},
        "organization_id": "stl-snn",
        "result_files": [],
    }


async def test_everything_can_be_chosen(client: Client) -> None:
    file, other = await upload(client), await upload(client)
    chosen = {
        "n_epochs": 2,
        "batch_size": 10,
        "learning_rate_multiplier": 0.5,
        "threshold_learning_rate_multiplier": 10.0,
        "threshold_weight_decay": 1e-6,
        "threshold_floor": 0.01,
        "learning_mode": "tl",
        "freeze": ["conv1"],
        "labels": list("0123456789"),
    }
    asked = {
        "model": "tiny-image/2",
        "validation_file": other,
        "suffix": "mine",
        "seed": 7,
        "metadata": {"team": "red"},
        "priority": -5,
        "promote": "if_better",
    }
    job = await create(client, file, **asked, **tuned(**chosen))
    assert {name: job[name] for name in asked} == asked
    assert job["hyperparameters"] == chosen | {"label_count": 10}
    [listed] = (await client.get(JOBS)).json()["data"]
    for place in (job["hyperparameters"], job["method"]["supervised"]["hyperparameters"]):
        place["labels"] = None
    assert listed == job
    spec = (await client.runtime.jobs.get(job["id"])).spec
    card = client.runtime.registry.version("tiny-image", 2).card
    assert card is not None
    assert spec.name == "tiny-image-mine"
    assert spec.learning_rate == card.learning.lr * 0.5
    assert spec.training_file.filename == "digits.npz"
    assert spec.requested == asking(file, **asked, **tuned(**chosen))


async def test_the_older_place_of_hyperparameters_and_auto_are_taken(client: Client) -> None:
    job = await create(client, await upload(client), hyperparameters={"n_epochs": 3, "batch_size": "auto"})
    assert (job["hyperparameters"]["n_epochs"], job["hyperparameters"]["batch_size"]) == (3, 8)


async def test_the_model_is_its_default_version_unless_one_is_named(client: Client) -> None:
    file = await upload(client)
    await client.put("/v1/models/tiny-image/default", json={"version": 2})
    assert (await create(client, file))["model"] == "tiny-image/2"
    assert (await create(client, file, model="tiny-image/1"))["model"] == "tiny-image/1"


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("tiny-imge", "model_not_found"),
        ("tiny-image/9", "version_not_found"),
        ("tiny-image/0", "model_not_found"),
        ("../etc", "model_not_found"),
        ("", "model_not_found"),
    ],
)
async def test_an_unknown_model_is_not_found(client: Client, model: str, code: str) -> None:
    await refused(client, code, "model", asking("file-1", model=model), 404)


async def test_a_version_without_its_training_state_is_refused(client: Client, store_root: Path) -> None:
    (store_root / "tiny-image" / "1" / STATE_FILE).unlink()
    assert STATE_FILE in await refused(client, "invalid_parameter", "model", asking(await upload(client)))


async def test_an_old_file_of_more_classes_than_a_model_may_have_is_refused(client: Client) -> None:
    file = await upload(client)
    path = client.runtime.settings.data_dir / "uploads" / f"{file}.json"
    record = json.loads(path.read_text())
    record["dataset"]["classes"] |= {f"class {n}": 2 for n in range(1000)}
    path.write_text(json.dumps(record))

    assert "1010 classes" in await refused(client, "invalid_dataset", "training_file", asking(file))


async def test_the_files_must_be_there_and_fit_the_model(client: Client) -> None:
    await refused(client, "file_not_found", "training_file", asking("file-1"), 404)
    file, letters = await upload(client), await upload(client, digits(labels="n"))
    await refused(client, "file_not_found", "validation_file", asking(file, validation_file="../x"), 404)
    message = await refused(client, "invalid_dataset", "training_file", asking(letters))
    assert "'n0'" in message
    assert "labels" in message
    await refused(client, "invalid_dataset", "validation_file", asking(file, validation_file=letters))
    await refused(client, "invalid_dataset", "training_file", asking(file, model="tiny-events"))
    job = await create(client, letters, **tuned(labels=[f"n{number}" for number in range(10)]))
    assert job["hyperparameters"]["labels"][3] == "n3"


@pytest.mark.parametrize(
    ("more", "param", "said"),
    [
        ({"promot": "always"}, "promot", "did you mean 'promote'?"),
        ({"promote": "maybe"}, "promote", "if_better"),
        ({"priority": 101}, "priority", "100"),
        ({"priority": 1.5}, "priority", "integer"),
        ({"seed": -1}, "seed", "0"),
        ({"seed": 2**31}, "seed", "2147483648"),
        ({"suffix": ""}, "suffix", "valid name"),
        ({"suffix": "A B"}, "suffix", "valid name"),
        ({"suffix": "x" * 64}, "suffix", "64"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata", "16"),
        ({"metadata": {"k" * 65: ""}}, "metadata", "64"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "512"),
        ({"metadata": {"k": 1}}, "metadata.k", "string"),
        ({"metadata": {"k": "a\0b"}}, "metadata", "pattern"),
        ({"integrations": [{"type": "wandb"}]}, "integrations", "0 items"),
        ({"method": {"type": "dpo", "dpo": {}}}, "method.dpo", "supervised"),
        ({"method": {"type": "dpo"}}, "method.type", "'supervised'"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameter": {}}}}, "method.supervised", "did you mean"),
        (tuned(epochs=3), f"{PLACE}.epochs", "did you mean 'n_epochs'?"),
        (tuned(n_epochs=0), f"{PLACE}.n_epochs", "greater"),
        (tuned(n_epochs="many"), f"{PLACE}.n_epochs", "integer"),
        (tuned(batch_size=4096), f"{PLACE}.batch_size", "1025"),
        (tuned(learning_rate_multiplier=0), f"{PLACE}.learning_rate_multiplier", "greater"),
        (tuned(learning_mode="dl"), f"{PLACE}.learning_mode", "'tl'"),
        (tuned(freeze=["conv2"]), f"{PLACE}.freeze", "did you mean 'conv1'?"),
        (tuned(freeze=["pool1"]), f"{PLACE}.freeze", "learns"),
        (tuned(freeze=["conv1", "conv1"]), f"{PLACE}.freeze", "differ"),
        (tuned(freeze=["conv1", "fc1", "vote"]), f"{PLACE}.freeze", "nothing is left"),
        (tuned(freeze=["vote"], labels=list("0123456789")), f"{PLACE}.freeze", "has to learn"),
        (tuned(labels=["a"]), f"{PLACE}.labels", "2"),
        (tuned(labels=["a", "a"]), f"{PLACE}.labels", "differ"),
        (tuned(labels=["a", ""]), f"{PLACE}.labels", "1 character"),
        (tuned(labels=["a", "b" * 101]), f"{PLACE}.labels", "100 characters"),
        (tuned(labels=[str(number) for number in range(1001)]), f"{PLACE}.labels", "1000 items"),
        (tuned(threshold_weight_decay=-1), f"{PLACE}.threshold_weight_decay", "greater"),
        (tuned() | {"hyperparameters": {}}, "hyperparameters", "method.supervised"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_path(
    client: Client, more: dict[str, Any], param: str, said: str
) -> None:
    answer = await client.post(JOBS, json=asking(await upload(client), **more))
    body = answer.json()["error"]
    assert (answer.status_code, body["code"]) == (422, "invalid_parameter"), answer.text
    assert body["param"].startswith(param), answer.text
    assert said in body["message"], answer.text
    assert (await client.get(JOBS)).json()["data"] == []


async def test_the_largest_job_fits_and_a_larger_body_is_refused_before_it_is_read(client: Client) -> None:
    labels = [f"{number:04d}" + "\N{GRINNING FACE}" * 96 for number in range(1000)]
    file = await upload(client, digits(labels="n"))
    body = json.dumps(asking(file, **tuned(labels=labels)), ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"}
    check(await client.post(JOBS, content=body, headers=headers), 422, "invalid_dataset", "training_file")
    body += b" " * MAX_JOB_BYTES
    for path in (JOBS, f"{JOBS}/ftjob-1/cancel"):
        check(await client.post(path, content=body, headers=headers), 413, "body_too_large", None)


async def test_a_job_has_bounds_in_samples_in_bytes_and_in_priority(store_root: Path, serve: Serve) -> None:
    limits = {"max_job_samples": 1000, "max_job_priority": 5}
    async with serve(store_root, preload=(), max_job_data_bytes=200 * 64, **limits) as client:
        file, large = await upload(client), await upload(client, digits(201))
        place = f"{PLACE}.n_epochs"
        message = await refused(client, "invalid_parameter", place, asking(file, **tuned(n_epochs=11)))
        assert message == "100 samples x 11 epochs exceed the limit of 1000; choose at most 10 epochs"
        await refused(client, "invalid_parameter", place, asking(file, validation_file=file, **tuned(n_epochs=6)))
        message = await refused(client, "invalid_parameter", "training_file", asking(large, **tuned(n_epochs=1)))
        assert message == "201 images of 1x8x8 take 12864 bytes, more than the limit of 12800"
        await refused(client, "invalid_parameter", "priority", asking(file, priority=6, **tuned(n_epochs=1)))
        assert (await create(client, file, priority=5, **tuned(n_epochs=10)))["priority"] == 5


async def test_a_query_of_thousands_of_names_is_refused_at_once(client: Client) -> None:
    query = "&".join(f"metadata[{number}]" for number in range(4000))
    begun = time.monotonic()
    check(await client.get(f"{JOBS}?{query}"), 422, "invalid_parameter", None)
    assert time.monotonic() - begun < 0.2
    query = "&".join(f"metadata[{number}]=x" for number in range(17))
    check(await client.get(f"{JOBS}?{query}"), 422, "invalid_parameter", "metadata")


@pytest.mark.parametrize("body", [[], "x", 3])
async def test_a_body_that_is_no_object_is_refused(client: Client, body: Any) -> None:
    await refused(client, "invalid_parameter", None, body)


async def test_missing_fields_are_named(client: Client) -> None:
    await refused(client, "invalid_parameter", "model", {})
    await refused(client, "invalid_parameter", "training_file", {"model": "tiny-image"})


async def test_an_idempotency_key_belongs_to_one_job(client: Client) -> None:
    file = await upload(client)
    key = {"Idempotency-Key": "my key 1"}
    first = await client.post(JOBS, json=asking(file, seed=1), headers=key)
    assert first.status_code == 201
    same = await client.post(JOBS, json={"seed": 1, **asking(file)}, headers=key)
    assert (same.status_code, same.json()) == (201, first.json())
    check(
        await client.post(JOBS, json=asking(file, seed=2), headers=key), 409, "idempotency_conflict", "Idempotency-Key"
    )
    await client.delete(f"/v1/files/{file}")
    gone = await client.post(JOBS, json=asking(file, seed=1), headers=key)
    assert gone.json()["id"] == first.json()["id"]
    assert len((await client.get(JOBS)).json()["data"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
async def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    answer = await client.post(JOBS, json=asking("file-1"), headers=headers)
    check(answer, 422, "invalid_parameter", "Idempotency-Key")


async def test_jobs_are_listed_in_pages(client: Client) -> None:
    file = await upload(client)
    ids = [(await create(client, file, metadata={"n": str(number)}))["id"] for number in range(3)]
    page = (await client.get(JOBS, params={"limit": 2})).json()
    assert (page["object"], page["has_more"]) == ("list", True)
    assert [job["id"] for job in page["data"]] == ids[:0:-1] == [page["first_id"], page["last_id"]]
    page = (await client.get(JOBS, params={"limit": 2, "after": ids[1]})).json()
    assert ([job["id"] for job in page["data"]], page["has_more"]) == (ids[:1], False)
    assert (await client.get(JOBS, params={"order": "asc"})).json()["first_id"] == ids[0]
    assert (await client.get(JOBS, params={"metadata[n]": "1"})).json()["first_id"] == ids[1]
    for nothing in ({"metadata[n]": "9"}, {"metadata": "null"}, {"status": "failed"}):
        assert (await client.get(JOBS, params=nothing)).json() == {
            "object": "list",
            "data": [],
            "has_more": False,
            "first_id": None,
            "last_id": None,
        }
    check(await client.get(JOBS, params={"after": "ftjob-1"}), 404, "job_not_found", "after")
    for name, value in (("limit", "0"), ("limit", "101"), ("status", "done"), ("order", "up"), ("metadata", "x")):
        check(await client.get(JOBS, params={name: value}), 422, "invalid_parameter", name)
    check(await client.get(JOBS, params={"meta[n]": "1"}), 422, "invalid_parameter", "meta[n]")


async def test_a_job_is_cancelled_and_resumed(client: Client) -> None:
    identity = (await create(client, await upload(client)))["id"]
    path = f"{JOBS}/{identity}"
    cancelled = (await client.post(f"{path}/cancel")).json()
    assert (cancelled["status"], cancelled["queue_position"]) == ("cancelled", None)
    assert type(cancelled["finished_at"]) is int
    check(await client.post(f"{path}/cancel"), 409, "job_not_cancellable", "id")
    assert (await client.post(f"{path}/resume")).json()["status"] == "queued"
    check(await client.post(f"{path}/resume"), 409, "job_not_resumable", "id")
    assert (await client.get(path)).json()["queue_position"] == 1


async def test_an_ended_job_is_deleted(client: Client) -> None:
    path = f"{JOBS}/{(await create(client, await upload(client)))['id']}"
    check(await client.delete(path), 409, "job_not_deletable", "id")
    await client.post(f"{path}/cancel")
    deleted = await client.delete(path)
    assert deleted.json() == {"id": path.rpartition("/")[2], "object": "fine_tuning.job", "deleted": True}
    check(await client.get(path), 404, "job_not_found", "id")


async def test_ended_jobs_are_deleted_when_they_are_old(store_root: Path, serve: Serve) -> None:
    async with serve(store_root, preload=()) as client:
        identity = (await create(client, await upload(client)))["id"]
        await client.post(f"{JOBS}/{identity}/cancel")
        data = client.runtime.settings.data_dir
    await asyncio.sleep(1.1)  # the database's clock counts whole seconds
    async with serve(store_root, preload=(), data_dir=data, job_retention_days=1e-9) as client:
        async with asyncio.timeout(10):
            while (await client.get(f"{JOBS}/{identity}")).status_code == 200:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("identity", ["ftjob-1", "x" * 200, "..", "a%2Fb", "%00", "é"])
async def test_an_unknown_job_is_not_found(client: Client, identity: str) -> None:
    for method, rest in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/events"),
        ("GET", "/checkpoints"),
        ("POST", "/cancel"),
        ("POST", "/resume"),
    ):
        answer = await client.request(method, f"{JOBS}/{identity}{rest}")
        assert answer.status_code == 404, answer.text
        assert answer.json()["error"]["code"] in ("job_not_found", "not_found")


def progress(step: int, attempt: int) -> Progress:
    return Progress(attempt=attempt, epochs=40, step=step, steps=40, epoch=1, loss=0.5)


async def tell(client: Client, identity: str, *messages: str, data: Data | None = None) -> None:
    folder = client.runtime.jobs.histories.folder(identity)
    folder.mkdir(parents=True, exist_ok=True)
    for message in messages:
        append_event(folder, message, data or Unknown())


async def test_events_come_in_pages_newest_first(client: Client) -> None:
    identity = (await create(client, await upload(client)))["id"]
    path = f"{JOBS}/{identity}/events"
    assert (await client.get(path)).json()["data"] == []
    await tell(client, identity, "one", "two", "three", data=progress(1, attempt=1))
    page = (await client.get(path, params={"limit": 2})).json()
    assert [event["message"] for event in page["data"]] == ["three", "two"]
    assert page["has_more"]
    first = page["data"][0]
    assert type(first.pop("created_at")) is int
    assert first == {
        "id": page["first_id"],
        "object": "fine_tuning.job.event",
        "level": "info",
        "message": "three",
        "type": "message",
        "data": {"kind": "progress", "attempt": 1, "epochs": 40, "step": 1, "steps": 40, "epoch": 1, "loss": 0.5},
    }
    await tell(client, identity, "four")
    page = (await client.get(path, params={"after": page["last_id"]})).json()
    assert ([event["message"] for event in page["data"]], page["has_more"]) == (["one"], False)
    check(await client.get(path, params={"after": event_id("ftjob-1", 3)}), 422, "invalid_parameter", "after")


async def test_a_checkpoint_is_what_was_published(client: Client) -> None:
    identity = (await create(client, await upload(client)))["id"]
    path = f"{JOBS}/{identity}/checkpoints"
    assert (await client.get(path)).json()["data"] == []
    folder = client.runtime.jobs.histories.folder(identity)
    folder.mkdir(parents=True)
    measured = {"loss": 0.25, "accuracy": 0.5, "spikes_per_sample": 8.0, "baseline_accuracy": 0.125}
    where = {"epoch": 1, "epochs": 1, "step": 12, "steps": 12, "attempt": 1}
    append_event(folder, "epoch", EpochDone.model_validate(where | measured))
    await tell(client, identity, "published", data=Published(attempt=1, model="tiny-image/3"))
    page = (await client.get(path)).json()
    [checkpoint] = page["data"]
    assert type(checkpoint.pop("created_at")) is int
    assert checkpoint == {
        "id": page["first_id"],
        "object": "fine_tuning.job.checkpoint",
        "fine_tuning_job_id": identity,
        "fine_tuned_model_checkpoint": "tiny-image/3",
        "step_number": 12,
        "metrics": measured,
    }
    assert (await client.get(path, params={"after": page["last_id"]})).json()["data"] == []


async def test_progress_and_estimate_come_from_the_events(client: Client) -> None:
    identity = (await create(client, await upload(client)))["id"]
    await tell(client, identity, "on", data=progress(10, attempt=2))
    job = (await client.get(f"{JOBS}/{identity}")).json()
    assert job["progress"] == {"epoch": 1, "epochs": 40, "step": 10, "steps": 40}
    assert job["attempt"] == 2


def messages(text: bytes) -> list[tuple[str | None, str, Any]]:
    """The messages of a stream: id, event and data."""
    found = []
    for block in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


async def test_the_stream_of_an_ended_job_is_all_of_it_and_then_ends(client: Client) -> None:
    identity = (await create(client, await upload(client)))["id"]
    await tell(client, identity, "one", "two")
    await client.post(f"{JOBS}/{identity}/cancel")
    path = f"{JOBS}/{identity}/events"
    answer = await client.get(path, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, last = messages(answer.content)
    assert [event["message"] for _, _, event in events] == ["one", "two", "The job was cancelled."]
    assert [identity for identity, _, _ in events] == [event["id"] for _, _, event in events]
    assert {kind for _, kind, _ in events} == {"fine_tuning.job.event"}
    assert (last[0], last[1], last[2]["status"]) == (None, "fine_tuning.job", "cancelled")
    rest = messages((await client.get(path, headers=STREAM | {"Last-Event-ID": events[0][0] or ""})).content)
    assert [each[0] for each in rest] == [each[0] for each in events[1:]] + [None]
    check(await client.get(path, headers=STREAM | {"Last-Event-ID": "x"}), 422, "invalid_parameter", "Last-Event-ID")


@asynccontextmanager
async def streaming(client: Client, identity: str) -> AsyncIterator[Exchange]:
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    exchange = Exchange(transport.app, f"{JOBS}/{identity}/events", method="GET", headers=STREAM)  # type: ignore[arg-type]
    exchange.send(b"")
    try:
        yield exchange
    finally:
        exchange.hang_up()
        await asyncio.wait([exchange.task], timeout=5)
        assert exchange.task.done()


async def until_told(exchange: Exchange, count: int, seconds: float = 1.0) -> list[tuple[str | None, str, Any]]:
    async with asyncio.timeout(seconds):
        while len(found := messages(exchange.received)) < count:
            await asyncio.sleep(0.02)
    return found


async def test_a_stream_tells_within_a_second_and_ends_with_the_job(client: Client) -> None:
    file = await upload(client)
    ahead, identity = (await create(client, file))["id"], (await create(client, file))["id"]
    async with streaming(client, identity) as exchange:
        [(_, kind, job)] = await until_told(exchange, 1, 5)
        assert (kind, job["queue_position"]) == ("fine_tuning.job", 2)
        await tell(client, identity, "one")
        assert (await until_told(exchange, 2))[1][2]["message"] == "one"
        await client.post(f"{JOBS}/{ahead}/cancel")
        assert (await until_told(exchange, 3))[2][2]["queue_position"] == 1
        await client.post(f"{JOBS}/{identity}/cancel")
        found = await until_told(exchange, 5, 3)
        assert [found[3][2]["message"], found[4][2]["status"]] == ["The job was cancelled.", "cancelled"]
        await asyncio.wait_for(asyncio.shield(exchange.task), 2)


async def test_a_stream_ends_when_its_client_leaves(client: Client) -> None:
    identity = (await create(client, await upload(client)))["id"]
    async with streaming(client, identity) as exchange:
        await until_told(exchange, 1, 5)
        exchange.hang_up()
        await asyncio.wait([exchange.task], timeout=2)
        assert exchange.task.done()


async def test_a_stream_too_many_is_refused_until_another_ends(store_root: Path, serve: Serve) -> None:
    async with serve(store_root, preload=(), max_event_streams=2) as client:
        identity = (await create(client, await upload(client)))["id"]
        async with streaming(client, identity) as exchange:
            await until_told(exchange, 1, 5)
            refusal = await client.get(f"{JOBS}/{identity}/events", headers=STREAM)
            check(refusal, 429, "overloaded", None)
            assert refusal.headers["retry-after"]
            assert (await client.get(f"{JOBS}/{identity}/events")).status_code == 200
        async with streaming(client, identity) as exchange:
            await until_told(exchange, 1, 5)


async def test_a_stream_ends_when_the_service_is_told_to_leave(client: Client) -> None:
    identity = (await create(client, await upload(client)))["id"]
    async with streaming(client, identity) as exchange:
        await until_told(exchange, 1, 5)
        client.runtime.readiness.shutting_down = True
        await asyncio.wait_for(asyncio.shield(exchange.task), 2)
        client.runtime.readiness.shutting_down = False


async def test_jobs_are_among_the_metrics(client: Client) -> None:
    assert 'snn_jobs{status="queued"} 0.0' in (await client.get("/metrics")).text
    await create(client, await upload(client))
    async with asyncio.timeout(10):
        while 'snn_jobs{status="queued"} 1.0' not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.2)


async def test_without_its_database_the_service_does_everything_else(store_root: Path, serve: Serve) -> None:
    async with serve(store_root, database_url="postgresql://nobody@127.0.0.1:1/jobs") as client:
        file = await upload(client)
        for answer in (
            await client.post(JOBS, json=asking(file)),
            await client.get(JOBS),
            await client.get(f"{JOBS}/ftjob-1"),
            await client.get(f"{JOBS}/ftjob-1/events", headers=STREAM),
        ):
            check(answer, 503, "jobs_unavailable", None)
            assert answer.headers["retry-after"]
            assert "x-should-retry" not in answer.headers
        assert "snn_jobs{" not in (await client.get("/metrics")).text
        assert (await client.get("/v1/models")).status_code == 200
