"""`calibrate` and `evaluate --exit`, on real versions."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from contract.card import Card, read_card
from contract.early_exit import exit_leads
from contract.reference import REFERENCE_FILE
from contract.store import STATE_FILE, Store
from service.engine.device import CPU
from service.engine.interface import ImageSample
from service.engine.load import load_engine
from tests.tiny import tiny_image_config
from training.__main__ import main
from training.calibrate import calibrate, calibration_part
from training.data import Images, load_dataset
from training.errors import ConfigError
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.learning.experiment import Experiment


@pytest.fixture
def root(tiny_store_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_store_root / "tiny-image" / "1", tmp_path / "tiny-image" / "1")
    return tmp_path


def card_of(root: Path, version: int) -> Card:
    return read_card(root / "tiny-image" / str(version) / "model.pt")


def test_a_calibrated_version_is_the_same_network_with_leads(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "tiny-image", "--exit", "confident", "--store", str(root)]) == 2
    assert "python -m training calibrate tiny-image" in capsys.readouterr().err
    assert main(["calibrate", "tiny-image", "--eps", "0.1", "--alpha", "0.3", "--store", str(root)]) == 0
    assert "published tiny-image/2" in capsys.readouterr().out
    before, after = card_of(root, 1), card_of(root, 2)
    assert after.calibration is not None
    assert (after.calibration.measured_on, after.calibration.gap.eps, after.parent) == (
        "validation",
        0.1,
        "tiny-image/1",
    )
    kept = {"calibration", "created_at", "parent", "provenance"}
    assert before.model_dump(exclude=kept) == after.model_dump(exclude=kept)
    for file in (STATE_FILE, REFERENCE_FILE):
        assert (root / "tiny-image/1" / file).read_bytes() == (root / "tiny-image/2" / file).read_bytes()
    one, other = (load_scripted(root / "tiny-image" / version / "model.pt").state_dict() for version in "12")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert load_engine(Store(root).checkpoint_path("tiny-image", 2), CPU).card == after
    for exit, bound in (("confident", "at most 10.00% are wrong"), ("lossless", "100.00% of the classes are those")):
        assert main(["evaluate", "tiny-image", "--exit", exit, "--store", str(root)]) == 0
        assert bound in capsys.readouterr().out


def test_evaluation_counts_the_steps_that_the_service_runs(root: Path) -> None:
    engine = load_engine(root / "tiny-image" / "1" / "model.pt", CPU)
    digits = load_dataset("digits").test.subset(torch.arange(80))
    assert isinstance(digits, Images)
    leads = exit_leads(engine.card, confident=False)
    assert leads is not None
    ran = engine.run([ImageSample(pixels.numpy()) for pixels in digits.pixels], leads)
    found = evaluate(load_scripted(root / "tiny-image" / "1" / "model.pt"), digits, leads=leads)
    assert found.steps.tolist() == [len(each.scores) for each in ran]
    assert found.predictions.tolist() == [each.totals.ranking[0] for each in ran]
    assert float(found.synops.sum()) == pytest.approx(sum(sum(each.totals.synops) for each in ran) / 80)
    assert set(found.steps.tolist()) == {3, 4}


def test_it_is_found_on_the_samples_that_chose_the_epoch(root: Path) -> None:
    digits, card = load_dataset("digits"), card_of(root, 1)
    held_out, is_held_out = calibration_part(digits, card)
    expected = Experiment(tiny_image_config(), digits).parts[1]
    assert isinstance(held_out, Images)
    assert isinstance(expected, Images)
    assert is_held_out
    assert torch.equal(held_out.pixels, expected.pixels)
    without = card.model_copy(update={"learning": card.learning.model_copy(update={"validation_fraction": 0.0})})
    trained, is_held_out = calibration_part(digits, without)
    assert (len(trained), is_held_out) == (500, False)
    silent = card.model_copy(update={"learning": card.learning.model_copy(update={"validation_fraction": None})})
    with pytest.raises(ConfigError, match="does not say which samples"):
        calibration_part(digits, silent)


def test_the_test_part_is_never_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_dataset("digits")
    white = Images(torch.full_like(digits.test.pixels, 255), digits.test.labels)  # type: ignore[union-attr]
    card, found = card_of(root, 1), []
    for dataset in (digits, replace(digits, test=white)):
        monkeypatch.setattr("training.calibrate.load_again", lambda *_, each=dataset, **__: each)
        found.append(calibrate(card, root / "tiny-image" / "1" / "model.pt", None, eps=0.01, alpha=0.1).calibration)
    assert found[0] == found[1]


def test_wrong_options_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(root)]
    assert main(["calibrate", "tiny-image", "--eps", "1", *store]) == 2
    assert "--eps: must be between 0 and 1" in capsys.readouterr().err
    assert main(["evaluate", "tiny-image", "--exit", "lossless", "--draws", "2", *store]) == 2
    assert "cannot be joined" in capsys.readouterr().err
