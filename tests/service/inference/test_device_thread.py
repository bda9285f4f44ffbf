"""What the device does about batches that fail, shown on a real network that fails when it is asked to."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.errors import ModelError, ServiceError
from service.engine.interface import ImageSample
from service.inference import device_thread as device_module
from service.inference.device_thread import DeviceThread, Outcome, is_out_of_memory
from service.models.version import Loaded
from tests.service.models_in_memory import load_version
from tests.service.troubled import NOT_A_NUMBER, RAISES, ROOM, TOO_LARGE, add_troubled

Samples = list[ImageSample]


@pytest.fixture
def troubled(store_root: Path) -> Loaded:
    add_troubled(store_root)
    return load_version(store_root, "troubled")


@pytest.fixture
def device() -> Iterator[DeviceThread]:
    made = DeviceThread()
    yield made
    made.stop(wait=True)


def samples(*seeds: int) -> Samples:
    return [ImageSample(np.full((1, 8, 8), 120, dtype=np.uint8), seed) for seed in seeds]


def assert_same_as_alone(model: Loaded, given: Samples, found: list[Outcome]) -> None:
    assert len(found) == len(given)
    for sample, outcome in zip(given, found, strict=True):
        if outcome.error is None:
            assert outcome.activity is not None
            np.testing.assert_array_equal(outcome.activity.scores, model.engine.run([sample])[0].scores)


@pytest.mark.parametrize("seed", [RAISES, NOT_A_NUMBER])
async def test_a_bad_sample_fails_alone(device: DeviceThread, troubled: Loaded, seed: int) -> None:
    given = samples(1, seed, 2)
    found = await device.run(troubled, given)
    assert [outcome.error is None for outcome in found] == [True, False, True]
    assert_same_as_alone(troubled, given, found)
    assert [outcome.run.rows for outcome in found if outcome.run] == [1, 1]
    assert isinstance(found[1].error, ModelError) == (seed == NOT_A_NUMBER)
    assert device.most_rows(troubled.engine) is None


async def test_a_batch_that_works_runs_once(device: DeviceThread, troubled: Loaded) -> None:
    found = await device.run(troubled, samples(1, 2, 3))
    assert len({outcome.run for outcome in found}) == 1
    assert found[0].run is not None
    assert found[0].run.rows == 3


async def test_a_batch_that_does_not_fit_is_halved_until_it_does(device: DeviceThread, troubled: Loaded) -> None:
    given = samples(*range(4 * ROOM + 1))
    found = await device.run(troubled, given)
    assert all(outcome.error is None for outcome in found)
    assert_same_as_alone(troubled, given, found)
    assert max(outcome.run.rows for outcome in found if outcome.run) == ROOM
    assert device.most_rows(troubled.engine) == ROOM


async def test_the_size_that_fitted_is_forgotten_after_a_while(
    device: DeviceThread, troubled: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "REMEMBER_S", 0.0)
    await device.run(troubled, samples(*range(ROOM + 1)))
    assert device.most_rows(troubled.engine) is None


async def test_a_sample_that_does_not_fit_alone_says_so_and_fails_alone(device: DeviceThread, troubled: Loaded) -> None:
    given = samples(1, TOO_LARGE)
    found = await device.run(troubled, given)
    assert_same_as_alone(troubled, given, found)
    assert found[0].error is None
    assert isinstance(found[1].error, ServiceError)
    assert "memory" in found[1].error.message


def test_want_of_memory_is_told_from_other_failures() -> None:
    with pytest.raises(RuntimeError) as cpu:
        torch.zeros([10**15], dtype=torch.uint8)
    assert is_out_of_memory(cpu.value)
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("CUDA error: out of memory")):
        assert is_out_of_memory(error)
    for other in (RuntimeError("shapes differ"), ValueError("out of memory"), ModelError("not finite")):
        assert not is_out_of_memory(other)
