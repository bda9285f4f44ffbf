"""What only a GPU can show. `make test-gpu` runs it on CUDA; with `GPU_TEST_DEVICE=cpu`, the same checks on the CPU."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.job_events import EpochDone
from contract.store import Store
from service.engine.device import CPU, Device
from service.engine.interface import Activity, EventSample, ImageSample, Sample
from service.engine.torchscript import TorchScriptEngine
from service.inference.device_thread import DeviceThread
from service.models.version import Loaded, Version
from service.telemetry.energy_meter import energy_meter
from tests.tiny import EVENT_STEP_US, EVENT_STEPS, moving_bar
from tests.training.jobs import Jobs, reported
from training.fine_tuning.process import Stop
from training.fine_tuning.reporting import ReportingCheckpoint
from training.fine_tuning.run_job import run_job

pytestmark = pytest.mark.gpu
DEVICE = Device.parse(os.environ.get("GPU_TEST_DEVICE", "cuda:0"))
MODELS = ["tiny-image", "tiny-direct", "tiny-events"]
SHIPPED = Store(Path(__file__).parents[2] / "model_store")

needs_memory_limit = pytest.mark.skipif(DEVICE.type != "cuda", reason="only CUDA's memory can be limited by torch")


@pytest.fixture(autouse=True)
def _device_is_there() -> None:
    if DEVICE.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device; GPU_TEST_DEVICE=cpu runs the checks on the CPU")


def samples_of(engine: TorchScriptEngine, count: int) -> list[Sample]:
    rng, spec = np.random.default_rng(0), engine.card.input
    if spec.kind == "image":
        return [ImageSample(rng.integers(0, 256, spec.shape, np.uint8), seed) for seed in range(count)]
    if spec.height == 8:
        return [EventSample(moving_bar(rng, right=bool(index % 2))) for index in range(count)]
    times = np.sort(rng.integers(0, 300_000, (count, 5000)), axis=1)
    places = [rng.integers(0, bound, (count, 5000)) for bound in (spec.width, spec.height, 2)]
    return [EventSample(events) for events in np.stack([times, *places], axis=2)]


def both(store: Store, name: str) -> tuple[TorchScriptEngine, TorchScriptEngine]:
    """The same checkpoint on the device and on the CPU."""
    path = store.newest(name)
    return TorchScriptEngine.load(path, DEVICE), TorchScriptEngine.load(path, CPU)


def assert_equal(found: list[Activity], expected: list[Activity]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name in ("scores", "spikes", "synops"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert (one.input, one.totals) == (other.input, other.totals)


@pytest.mark.parametrize("name", MODELS)
def test_a_sample_gives_the_cpus_numbers_alone_and_in_any_batch(tiny_store_root: Path, name: str) -> None:
    there, here = both(Store(tiny_store_root), name)
    samples = samples_of(here, 33)
    expected = here.run(samples)
    for size in (1, 2, 7, 33):
        assert_equal([each for at in range(0, 33, size) for each in there.run(samples[at : at + size])], expected)


@pytest.mark.parametrize("name", ["digits-stl", "mnist-stl", "fashion-stl", "nmnist-stl"])
def test_the_models_of_the_store_give_the_cpus_numbers(name: str) -> None:
    there, here = both(SHIPPED, name)
    samples = samples_of(here, 16)
    assert_equal(there.run(samples), here.run(samples))


@pytest.mark.parametrize("name", MODELS)
def test_a_stream_of_steps_keeps_its_state_on_the_device_and_gives_the_numbers_of_a_run(
    tiny_store_root: Path, name: str
) -> None:
    there, here = both(Store(tiny_store_root), name)
    [sample] = samples_of(here, 1)
    [expected] = here.run([sample])
    steps: list[Sample] = [sample] * there.card.timesteps
    if isinstance(sample, EventSample):
        step = (sample.events[:, 0] - sample.events[0, 0]) // EVENT_STEP_US
        steps = [EventSample(sample.events[step == index]) for index in range(EVENT_STEPS)]
    state = there.initial_state()
    for index, each in enumerate(steps):
        [(activity, state)] = there.step([each], [state])
        assert all(potential.device == torch.device(str(DEVICE)) for potential in state.potentials)
        for name_of in ("scores", "spikes", "synops"):
            np.testing.assert_array_equal(getattr(activity, name_of)[0], getattr(expected, name_of)[index])


def test_two_models_at_once_give_the_numbers_of_each_alone(tiny_store_root: Path) -> None:
    engines = [both(Store(tiny_store_root), name) for name in ("tiny-image", "tiny-events")]
    samples = [samples_of(here, 8) for _, here in engines]
    with ThreadPoolExecutor(2) as threads:
        runs = [
            [threads.submit(there.run, given) for _ in range(20)]
            for (there, _), given in zip(engines, samples, strict=True)
        ]
    for (_, here), given, each in zip(engines, samples, runs, strict=True):
        expected = here.run(given)
        for run in each:
            assert_equal(run.result(), expected)


@needs_memory_limit
async def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does() -> None:
    there, here = both(SHIPPED, "mnist-stl")
    samples = samples_of(here, 4096)
    there.run(samples[:64])
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(str(DEVICE)).total_memory
    loaded, device = Loaded(Version("mnist-stl", 1, "ready", there.card, there), there), DeviceThread()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 256 * 2**20) / total)
    try:
        outcomes = await device.run(loaded, samples)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        device.stop(wait=True)
    assert (device.most_rows(there) or 4096) < 4096
    found = [outcome.activity for outcome in outcomes if outcome.activity is not None]
    assert_equal(found, [each for at in range(0, 4096, 256) for each in here.run(samples[at : at + 256])])


def test_the_energy_of_a_batch_is_measured() -> None:
    meter = energy_meter(str(DEVICE))
    if meter is None:
        pytest.skip("the device has no readable energy counter")
    there, here = both(SHIPPED, "mnist-stl")
    samples = samples_of(here, 256)
    before = meter.read()
    for _ in range(50):
        there.run(samples)
    after = meter.read()
    assert before is not None
    assert after is not None
    assert 0 < after - before < 50_000


def test_a_fine_tuning_that_is_stopped_goes_on_and_publishes_a_version_that_the_cpu_runs_alike(
    store_root: Path, tmp_path: Path
) -> None:
    jobs, device = Jobs(store_root, tmp_path / "data"), torch.device(str(DEVICE))
    folder = jobs.create(n_epochs=3)
    report = ReportingCheckpoint._report_epoch

    def killed(self: ReportingCheckpoint, done: EpochDone) -> None:
        report(self, done)
        if done.epoch == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReportingCheckpoint, "_report_epoch", killed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run_job(folder, jobs.settings, device, Stop())
    assert run_job(folder, jobs.settings, device, Stop()) == 0
    assert [each.epoch for each in reported(folder, EpochDone)] == [1, 2, 3]
    path = jobs.store.checkpoint_path("tiny-image", 3)
    there, here = (TorchScriptEngine.load(path, each) for each in (DEVICE, CPU))
    samples = samples_of(here, 20)
    assert_equal(there.run(samples), here.run(samples))
