"""Fine-tuning on a Ray cluster: the child runs on a node that Ray chooses, and goes on elsewhere if the node dies."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.job_events import EpochDone, Published
from tests.e2e.jobs import MODEL, World, until
from tests.training.jobs import reported

if TYPE_CHECKING:
    from tests.ray.cluster import RayCluster

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

EPOCHS = 12


def trainings(job: str) -> list[int]:
    """The processes that train for a job."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdecimal() else b""
        except OSError:
            continue
        if b"fine-tune" in command and job.encode() in command:
            found.append(int(entry.name))
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()[1])


@pytest.fixture(autouse=True)
def _address(ray_cluster: "RayCluster", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.cluster.address)


def test_a_job_whose_node_is_killed_goes_on_elsewhere_from_its_last_epoch_once(
    ray_cluster: "RayCluster", world: World
) -> None:
    before = world.store.versions(MODEL)
    job = world.submit(n_epochs=EPOCHS)
    with world.worker(JOBS_LAUNCHER="ray") as worker:
        until(lambda: len(world.epochs(job)) >= 2)
        [training] = trainings(job)
        assert parent(training) != worker.pid
        node = ray_cluster.node_of(parent(training))
        ray_cluster.kill_node(node)
        until(lambda: training not in trainings(job))
        told = len(world.epochs(job))
        assert told < EPOCHS
        ray_cluster.add_node()
        until(lambda: trainings(job) or world.job(job).has_ended)
        assert world.ended(job).status == "succeeded"
    assert set(world.attempts(job)) == {1, 2}
    again = [done.epoch for done in reported(world.folder(job), EpochDone) if done.attempt == 2]
    assert again[0] >= told
    assert sorted(set(world.epochs(job))) == list(range(1, EPOCHS + 1))
    assert len(world.reported(job, Published)) == 1
    assert len(world.store.versions(MODEL)) == len(before) + 1
    until(lambda: len(ray_cluster.replicas()) == 2)


def test_a_cancelled_job_leaves_its_node(ray_cluster: "RayCluster", world: World) -> None:
    job = world.submit(n_epochs=500)
    with world.worker(JOBS_LAUNCHER="ray"):
        until(lambda: world.epochs(job))
        [training] = trainings(job)
        assert training != os.getpid()
        world.cancel(job)
        until(lambda: not trainings(job))
    assert world.job(job).status == "cancelled"
