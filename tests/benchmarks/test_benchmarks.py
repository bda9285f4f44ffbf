"""The speed benchmarks run from end to end, and notice a network that computes something else."""

import re
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import activity, cost, early_exit, gpu, streams
from benchmarks.inference import check as check_inference
from benchmarks.inference import load
from benchmarks.machine import interleaved, positive, times_faster
from benchmarks.peers import Peer, plain_loop, snntorch_network, spikingjelly_network
from benchmarks.subjects import fresh
from benchmarks.training import check as check_training
from event_engine.library import built_libraries
from training.export.checkpoint import inference_form
from training.snn.network import SpikingNetwork

ROOT = Path(__file__).parents[2]
RATIO = re.compile(r"\d+\.\d\dx \(\d+\.\d\d\.\.\d+\.\d\d\)")


def quick_run(program: str, *arguments: str) -> str:
    """What the program prints, with the smallest settings."""
    command = [sys.executable, "-m", f"benchmarks.{program}", "--quick", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "snnTorch: 0 of " in done.stdout
    assert "SpikingJelly: 0 of " in done.stdout
    return done.stdout


def test_a_quick_run_of_inference_prints_ratios_and_a_profile_that_tells_the_work_apart() -> None:
    printed = quick_run("inference", "--profile")
    with_events = 2 if built_libraries() else 0  # the event engine over TorchScript, also with encoding
    assert len(RATIO.findall(printed)) == 2 * (3 + with_events)  # two batch sizes, three peers
    for work in ("convolution", "pooling", "linear", "counting", "LIF, element by element"):
        assert re.search(rf"^\| {work} \| \d+\.\d% \|", printed, re.MULTILINE), work


@pytest.mark.skipif(not built_libraries(), reason="the event engine was not built: no C++ compiler")
def test_time_against_activity_is_a_table_of_rising_activities(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["activity", "--quick"])
    monkeypatch.setattr("benchmarks.activity.use_one_thread", lambda: None)
    activity.main()
    found = [float(share) for share in re.findall(r"^\| ([\d.]+)% \|", capsys.readouterr().out, re.MULTILINE)]
    assert len(found) == len(activity.ACTIVITIES)
    assert found == sorted(found)
    assert found[-1] > 5 * found[0]


def test_a_lossless_exit_changes_no_class_of_the_digits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["early_exit", "digits-stl", "--rounds", "1", "--seconds", "0.001"])
    monkeypatch.setattr("benchmarks.early_exit.use_one_thread", lambda: None)
    monkeypatch.chdir(ROOT)
    early_exit.main()
    printed = capsys.readouterr().out
    assert re.search(r"\| digits-stl \| lossless \| 98\.\d\d% \| 100.00% \| 3\.\d\d of 4 \|", printed)
    assert len(RATIO.findall(printed)) == 2 * len(early_exit.BATCH_SIZES)


def test_streams_are_held_together_and_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("benchmarks.streams.use_one_thread", lambda: None)
    streams.main(["--seconds", "0.4", "--most", "2"])
    rows = re.findall(
        r"^\| (as one batch|one at a time) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|", capsys.readouterr().out, re.M
    )
    assert [row[0] for row in rows] == ["as one batch", "one at a time"]
    assert all(1 <= int(held) <= 3 and 0 < float(p50) <= float(p99) for _, held, p50, p99 in rows)


def test_a_quick_run_of_training_prints_ratios() -> None:
    assert len(RATIO.findall(quick_run("training"))) == 3


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many"])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="not a whole number above zero"):
        positive(text)


@pytest.mark.parametrize("copied", [plain_loop, snntorch_network, spikingjelly_network])
def test_a_peer_with_another_threshold_is_refused(copied: Callable[[SpikingNetwork], Peer]) -> None:
    subject, checkpoint = load("mnist-stl", quick=True)
    x = subject.encode(subject.images(4))
    with torch.inference_mode():
        reference = inference_form(subject.network)
        check_inference(checkpoint._module, reference, {"peer": copied(reference)}, x)
        other = inference_form(subject.network)
        other.spiking_layers()["fc1"].neurons.threshold.mul_(0.9)
        with pytest.raises(SystemExit, match="peer does not compute the same network"):
            check_inference(checkpoint._module, reference, {"peer": copied(other)}, x)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    subject, checkpoint = load("mnist-stl", quick=True)
    with torch.inference_mode():
        other = inference_form(subject.network)
        other.spiking_layers()["conv1"].neurons.threshold.mul_(0.9)
        with pytest.raises(SystemExit, match="are not those of the network"):
            check_inference(checkpoint._module, other, {}, subject.encode(subject.images(4)))


def test_a_peer_with_other_gradients_is_refused() -> None:
    subject = fresh("mnist-stl", quick=True)
    network = subject.network.train()
    x, labels = subject.encode(subject.images(8)), torch.arange(8)
    check_training(network, {"SpikingJelly": spikingjelly_network(network)}, x, labels)
    with pytest.raises(SystemExit, match="gradients"):  # snnTorch's: none through the reset
        check_training(network, {"SpikingJelly": snntorch_network(network)}, x, labels)


def test_turns_alternate_and_ratios_compare_within_a_round() -> None:
    order: list[str] = []
    runners = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    taken = interleaved(runners, rounds=3, seconds=0.0, clock="wall")
    assert order == ["a"] * 3 + ["b"] * 3 + ["a", "b"] * 3  # three calls to warm up and to size a turn
    assert {name: len(times) for name, times in taken.items()} == {"a": 3, "b": 3}
    assert all(seconds > 0 for times in taken.values() for seconds in times)


def test_a_ratio_is_the_median_over_rounds_with_its_ends() -> None:
    assert times_faster([1.0, 2.0, 4.0], [2.0, 3.0, 20.0]) == "2.00x (1.50..5.00)"


@pytest.mark.skipif(not built_libraries(), reason="the event engine was not built: no C++ compiler")
def test_the_cost_has_a_row_for_each_time_step_batch_size_and_activity(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["cost", "--quick"])
    monkeypatch.setattr("benchmarks.cost.use_one_thread", lambda: None)
    cost.main()
    printed = capsys.readouterr().out
    steps, sizes, activities = (
        [int(row.replace(",", "")) for row in re.findall(r"^\| [\d%]+ \| [\d,]+ \| [\d,]+ \| ([\d,]+) \|", part, re.M)]
        for part in re.split(r"\| (?:batch size|spikes) \| neurons", printed)
    )
    assert len(sizes) == len(cost.BATCH_SIZES)
    assert len(steps) == len(cost.STEPS)
    assert steps[-1] > 8 * steps[0]
    assert activities == sorted(activities)
    assert len(activities) == len(cost.ACTIVITIES)


def test_the_plot_of_activity_is_the_same_file_for_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [(0.01, 900.0, 100.0), (0.5, 300.0, 100.0)]
    for name in ("one.svg", "other.svg"):
        activity.plot(points, tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn == (tmp_path / "other.svg").read_text()
    assert drawn.count("<use") >= 2 * len(points)  # a marker for each point of each line


def test_the_throughput_of_a_gpu_is_tried_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--models", "digits-stl", "--batch-sizes", "1", "3", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", *few])
    gpu.main()
    assert re.findall(r"^\| (\d+) \| [\d,]+ \|$", capsys.readouterr().out, re.MULTILINE) == ["1", "3"]
    if not torch.cuda.is_available():
        monkeypatch.setattr("sys.argv", ["gpu", *few])
        with pytest.raises(SystemExit, match="no CUDA device"):
            gpu.main()
