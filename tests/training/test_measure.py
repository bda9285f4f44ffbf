import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.card import Card, read_card
from contract.decision import draw_seed
from contract.store import Store
from tests.tiny import tiny_events_dataset
from training.__main__ import main
from training.data import Images, load_dataset
from training.errors import ConfigError
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.export.joint_evaluation import join
from training.measure import measure
from training.noise.kinds import parse_noise


def member(root: Path, name: str, version: int = 1) -> tuple[Card, Path]:
    checkpoint = Store(root).checkpoint_path(name, version)
    return read_card(checkpoint), checkpoint


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> Images:
    """The first 60 test samples of digits in place of all."""
    digits = load_dataset("digits")
    few = digits.test.subset(torch.arange(60))
    shorter = type(digits)(digits.name, digits.labels, digits.input, digits.train, few, digits.attribution)
    monkeypatch.setattr("training.measure.load_again", lambda *_, **__: shorter)
    assert isinstance(few, Images)
    return few


def test_draws_are_those_of_the_seeds_that_the_service_derives(tiny_store_root: Path, few_digits: Images) -> None:
    card, checkpoint = member(tiny_store_root, "tiny-image")
    found, labels = measure([(card, checkpoint)], None, draws=3)
    assert torch.equal(labels, few_digits.labels)
    module = load_scripted(checkpoint)
    for draw, (_, evaluation) in enumerate(found):
        seeds = torch.full([60], draw_seed(0, draw))
        with torch.inference_mode():
            scores, _, _ = module(module.encode_image(few_digits.pixels, seeds))
        assert torch.equal(evaluation.votes, scores.sum(0).long())
    assert torch.equal(found[0][1].votes, evaluate(module, few_digits).votes)
    assert not torch.equal(found[0][1].votes, found[1][1].votes)


def test_a_joint_decision_costs_the_sum_of_its_parts(tiny_store_root: Path, few_digits: Images) -> None:
    members = [member(tiny_store_root, "tiny-image", version) for version in (1, 2)]
    found, labels = measure(members, None, draws=2)
    joint = join(found, labels, "mean")
    votes = sum(evaluation.votes for _, evaluation in found)
    assert isinstance(votes, torch.Tensor)
    assert joint.accuracy == float((votes.argmax(1) == labels).double().mean())
    assert joint.alone == tuple(evaluation.accuracy for _, evaluation in found)
    alone = [join([each], labels, "mean") for each in found]
    for figure in ("spikes", "accumulates", "multiply_accumulates", "energy_nj"):
        assert getattr(joint, figure) == pytest.approx(sum(getattr(each, figure) for each in alone))
    agreeing = np.mean([(evaluation.predictions == votes.argmax(1)).double().mean() for _, evaluation in found])
    assert joint.agreement == pytest.approx(agreeing)


def test_windows_of_recordings_are_run_one_by_one(tiny_store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = tiny_events_dataset()
    asked = []

    def load(card: Card, data_dir: Path | None, *, every_event: bool) -> object:
        asked.append(every_event)
        return bars

    monkeypatch.setattr("training.measure.load_again", load)
    found, labels = measure([member(tiny_store_root, "tiny-events")], None, windows=2)
    assert asked == [True]
    assert len(found) == 2
    whole = measure([member(tiny_store_root, "tiny-events")], None)[0][0][1]
    halves = join(found, labels, "mean")
    assert 0.5 * float(whole.spikes.sum()) < halves.spikes < 2 * float(whole.spikes.sum())
    assert max(each.accuracy for _, each in found) <= 1.0
    assert not torch.equal(found[0][1].votes, found[1][1].votes)


def test_noise_and_draws_go_together(tiny_store_root: Path, few_digits: Images) -> None:
    card, checkpoint = member(tiny_store_root, "tiny-image")
    clean, noisy = (
        measure([(card, checkpoint)], None, noise=noise, draws=2)[0] for noise in (None, parse_noise("gaussian=0.3", 0))
    )
    assert not torch.equal(clean[1][1].votes, noisy[1][1].votes)


@pytest.mark.parametrize(
    ("models", "options", "problem"),
    [
        (["tiny-image"], {"draws": 0}, "--draws: must be at least 1"),
        (["tiny-direct"], {"draws": 2}, "--draws: tiny-direct has no Poisson coding"),
        (["tiny-events"], {"draws": 2}, "--draws: tiny-events has no Poisson coding"),
        (["tiny-image"], {"windows": 2}, "takes images, which have no time"),
        (["tiny-image", "tiny-events"], {}, "trained on the same data set"),
    ],
)
def test_what_does_not_fit_is_refused(
    tiny_store_root: Path, models: list[str], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        measure([member(tiny_store_root, name) for name in models], None, **options)


def test_the_command_prints_the_joint_decision_and_its_price(
    tiny_store_root: Path, few_digits: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "tiny-image/1", "tiny-image/2", "--draws", "2", "--decision", "vote"]
    assert main([*command, "--store", str(tiny_store_root)]) == 0
    shown = dict(line.split("  ", 1) for line in capsys.readouterr().out.replace("  of one", "of one").splitlines())
    assert shown["joint decision"].strip() == "vote of 4"
    assert shown["test accuracy"].strip().endswith("% of 60")
    members = [member(tiny_store_root, "tiny-image", version) for version in (1, 2)]
    joint = join(*measure(members, None, draws=2), "vote")
    assert shown["spikes per sample"].strip() == f"{joint.spikes:,.1f}"
    assert json.loads(shown["synaptic operations per sample"].strip().replace(",", "")) == round(joint.operations)


def test_a_group_is_published_and_measured_as_its_members_together(
    store_root: Path, few_digits: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--store", str(store_root)]
    assert main(["group", "pair", "tiny-image/1", "tiny-image", "--decision", "vote", *places]) == 0
    assert "published pair/1" in capsys.readouterr().out
    assert main(["evaluate", "pair", *places]) == 0
    of_group = capsys.readouterr().out
    assert main(["evaluate", "tiny-image/1", "tiny-image/2", "--decision", "vote", *places]) == 0
    assert of_group == capsys.readouterr().out
    assert main(["inspect", "pair", *places]) == 2
    assert "pair is a group of tiny-image/1, tiny-image/2" in capsys.readouterr().err
    for members, problem in ((["tiny-image/1", "tiny-direct"], "same encoder"), (["tiny-image/1"], "at least 2")):
        assert main(["group", "pair", *members, *places]) == 2
        assert problem in capsys.readouterr().err
