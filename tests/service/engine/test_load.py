"""Which engine runs a version: chosen at its load, after both have been compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.card import CARD_FILE, ImageEncoder
from contract.checkpoint import CheckpointError
from event_engine.errors import Unsuitable
from event_engine.network import Counts, EventNetwork
from service.engine import load as loading
from service.engine.interface import Choice, blank_sample
from service.engine.load import load_engine
from service.engine.probes import probes
from service.engine.torchscript import TorchScriptEngine, load_archive
from tests.event_engine.differential import make_case
from tests.service.engine.engines import not_built

CPU = torch.device("cpu")


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
    card, module = load_archive(tiny, CPU)
    with pytest.raises(Unsuitable, match="CPU alone"):
        loading._event_network(card, module, torch.device("cuda"))


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
    samples = probes(engine.card)
    activities = engine.run(samples)
    assert activities[0].input <= 1
    assert min(activity.input for activity in activities[1:]) > 10
    assert np.sum([activity.spikes.sum(0) for activity in activities], 0).min() > 0


def test_a_very_large_input_is_probed_with_less(tiny: Path) -> None:
    card = TorchScriptEngine.load(tiny, CPU).card
    large = card.model_copy(update={"input": card.input.model_copy(update={"height": 2000, "width": 1000})})
    assert (len(probes(card)), len(probes(large))) == (4, 2)
