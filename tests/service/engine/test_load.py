"""Which engine runs a version: chosen at its load, after both have been compared."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.card import CARD_FILE, ImageEncoder
from contract.checkpoint import CheckpointError, read_archive
from contract.probes import PROBES_FILE, probes, read_record, write_record
from contract.store import Store
from event_engine.errors import Unsuitable
from event_engine.network import Counts, EventNetwork
from service.engine import load as loading
from service.engine.device import CPU, Device
from service.engine.interface import Choice, blank_sample
from service.engine.load import as_samples, load_engine
from service.engine.torchscript import TorchScriptEngine
from tests.event_engine.differential import make_case
from tests.service.engine.engines import not_built

SHIPPED = Store(Path(__file__).parents[3] / "model_store")


@pytest.fixture
def tiny(tiny_store_root: Path) -> Path:
    return tiny_store_root / "tiny-image" / "1" / "model.pt"


@pytest.fixture
def with_average_pooling(tmp_path: Path) -> Path:
    """A checkpoint that the event engine cannot run exactly."""
    network = make_case("4C3-AP2-VOTE2", ImageEncoder(coding="poisson", timesteps=2), shape=(1, 4, 4))
    path = tmp_path / "average" / "7" / "model.pt"
    path.parent.mkdir(parents=True)
    torch.jit.save(network.module, str(path), _extra_files={CARD_FILE: network.card.model_dump_json()})
    return path


@not_built
@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct", "tiny-events"])
def test_the_event_engine_is_taken_where_it_is_exact(tiny_store_root: Path, name: str) -> None:
    for preference in ("auto", "event"):
        engine = load_engine(tiny_store_root / name / "1" / "model.pt", CPU, preference)
        assert engine.choice == Choice("event", None)


def test_the_setting_can_rule_it_out(tiny: Path) -> None:
    assert load_engine(tiny, CPU, "torchscript").choice == Choice("torchscript", "SNN_ENGINE is torchscript")


@not_built
def test_a_network_that_it_cannot_run_exactly_is_left_to_torchscript(
    with_average_pooling: Path, log_lines: list[str]
) -> None:
    engine = load_engine(with_average_pooling, CPU, "auto")
    assert engine.choice == Choice("torchscript", "average pooling is not exact")
    assert len(engine.run([blank_sample(engine.card)])) == 1
    [line] = log_lines
    assert line.endswith("TorchScript runs average/7, not the event engine: average pooling is not exact")
    with pytest.raises(CheckpointError, match=r"SNN_ENGINE is event, .*: average pooling is not exact"):
        load_engine(with_average_pooling, CPU, "event")


def test_a_machine_without_the_library_runs_everything_with_torchscript(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_library() -> None:
        raise Unsuitable("the event engine was not built")

    monkeypatch.setattr("event_engine.network.find_library", find_library)
    assert load_engine(tiny, CPU, "auto").choice == Choice("torchscript", "the event engine was not built")


def test_other_devices_are_left_to_torchscript(tiny: Path) -> None:
    data, card = read_archive(tiny)
    found, reason = loading._event_engine(card, data, Device("cuda"), "auto", 1)
    assert found is None
    assert reason == "the event engine runs on the CPU alone"


@not_built
@pytest.mark.parametrize("wrong", ["scores", "spikes", "synops", "input"])
def test_an_engine_that_gives_a_wrong_number_is_caught_at_load(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[str], wrong: str
) -> None:
    class WrongOnce(EventNetwork):
        """One more in one place of one sample."""

        def run_images(self, *arguments: Any, **options: Any) -> Counts:
            counts = super().run_images(*arguments, **options)
            getattr(counts, wrong)[-1:].reshape(-1)[-1] += 1
            return counts

    monkeypatch.setattr(loading, "EventNetwork", WrongOnce)
    reason = f"its {wrong} differ from those of TorchScript"
    assert load_engine(tiny, CPU, "auto").choice == Choice("torchscript", reason)
    assert f"the event engine is wrong for tiny-image/1: {reason}" in log_lines[0]
    with pytest.raises(CheckpointError, match=reason):
        load_engine(tiny, CPU, "event")


@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct", "tiny-events"])
def test_the_probes_make_every_layer_fire_and_one_of_them_is_blank(tiny_store_root: Path, name: str) -> None:
    engine = TorchScriptEngine.load(tiny_store_root / name / "1" / "model.pt", CPU)
    samples = as_samples(probes(engine.card))
    activities = engine.run(samples)
    assert activities[0].input <= 1
    assert min(activity.input for activity in activities[1:]) > 10
    assert np.sum([activity.spikes.sum(0) for activity in activities], 0).min() > 0


def test_a_very_large_input_is_probed_with_less(tiny: Path) -> None:
    card = TorchScriptEngine.load(tiny, CPU).card
    large = card.model_copy(update={"input": card.input.model_copy(update={"height": 2000, "width": 1000})})
    assert (len(probes(card)), len(probes(large))) == (4, 2)


def test_torchscript_uses_the_threads_it_was_given_on_whatever_thread_it_runs(tiny: Path) -> None:
    engine = load_engine(tiny, CPU, "torchscript", threads=2)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(engine.run, [blank_sample(engine.card)]).result()
        assert thread.submit(torch.get_num_threads).result() == 2


@pytest.fixture
def unused_torchscript(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where TorchScript would be loaded."""
    monkeypatch.setattr(TorchScriptEngine, "of", None)


@not_built
@pytest.mark.usefixtures("unused_torchscript")
@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct", "tiny-events"])
def test_torchscript_is_not_loaded_where_the_record_of_the_probes_agrees(tiny_store_root: Path, name: str) -> None:
    assert load_engine(tiny_store_root / name / "1" / "model.pt", CPU).choice == Choice("event")


@not_built
@pytest.mark.usefixtures("unused_torchscript")
@pytest.mark.parametrize("name", ["digits-stl", "fashion-stl", "mnist-stl", "nmnist-stl"])
def test_nor_for_the_models_that_are_shipped(name: str) -> None:
    assert load_engine(SHIPPED.newest(name), CPU).choice == Choice("event")


@not_built
@pytest.mark.parametrize("damage", ["absent", "archive", "samples", "numbers", "text"])
def test_without_a_record_of_this_very_archive_the_engines_are_compared(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    path = Path(shutil.copytree(tiny.parent, tmp_path / "tiny" / "1")) / "model.pt"
    record = read_record(path)
    assert record is not None
    if damage == "absent":
        path.with_name(PROBES_FILE).unlink()
    elif damage == "text":
        path.with_name(PROBES_FILE).write_text("{")
    else:
        write_record(path, record.model_copy(update={damage: "0" * 64}))
    compared = []
    monkeypatch.setattr(loading, "unlike", lambda *activities: compared.append(activities))
    assert load_engine(path, CPU).choice == Choice("event")
    assert len(compared) == 1
