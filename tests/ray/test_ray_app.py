from typing import Any

import pytest

from contract.settings import Settings

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

URL: Any = "postgresql://snn@postgres/snn"


def test_a_replica_computes_with_the_cores_that_ray_gives_it() -> None:
    from service.ray_app import for_replica

    assert [for_replica(Settings(database_url=URL), cores=cores).threads for cores in (0.5, 1, 4, 16)] == [1, 1, 3, 8]
    assert for_replica(Settings(database_url=URL, threads=2), cores=8).threads == 2


def test_a_replica_without_a_common_jobs_database_does_not_start() -> None:
    from service.ray_app import for_replica

    with pytest.raises(ValueError, match="SNN_DATABASE_URL"):
        for_replica(Settings(), cores=1)
