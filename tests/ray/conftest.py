import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contract.errors import JobNotFound, JobsUnavailable
from tests.e2e.jobs import World
from tests.ray.load import PREDICT, SEEDS, body, result
from tests.service.jobs_at_work import POSTGRES, new_database
from tests.service.serving import serving

if TYPE_CHECKING:
    from tests.ray.cluster import RayCluster


@pytest.fixture(scope="session")
def world(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store, a data folder and a jobs database on Postgres, which all nodes share."""
    assert POSTGRES, "these tests need a Postgres server: make test-ray starts one"
    folder = tmp_path_factory.mktemp("shared")
    store = shutil.copytree(tiny_store_root, folder / "models")
    with asyncio.Runner() as runner:
        created = World(store, folder / "data", new_database("postgres", folder), runner)
        make_tables(created)
        yield created
        created.close()


def make_tables(world: World) -> None:
    """Have the tables of a new database made, which can take longer than a request may on a busy machine."""
    while True:
        try:
            world.job("ftjob-none")
        except JobNotFound:
            return
        except JobsUnavailable:
            continue


@pytest.fixture(scope="session")
def ray_cluster(world: World) -> Iterator["RayCluster"]:
    """The cluster, with two replicas at the start; a test that changes it leaves two nodes and two replicas."""
    from tests.ray.cluster import RayCluster

    given = {f"SNN_{name}": value for name, value in world.given().items()}
    given |= {"SNN_POLL_SECONDS": "0.5", "SNN_MAX_BODY_BYTES": str(2**20), "PATH": os.environ["PATH"]}
    cluster = RayCluster(given)
    try:
        cluster.deploy(2)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def expected(tiny_store_root: Path) -> Callable[[int], Any]:
    """The result for a seed, by the service in this process."""

    async def ask() -> dict[int, Any]:
        async with serving(tiny_store_root) as client:
            headers = {"Content-Type": "application/json"}
            answers = [await client.post(PREDICT, content=body(seed), headers=headers) for seed in range(SEEDS)]
            return {seed: result(answer.json()) for seed, answer in enumerate(answers)}

    return asyncio.run(ask()).__getitem__
