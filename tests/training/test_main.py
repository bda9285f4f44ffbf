import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.card import read_card
from contract.probes import PROBES_FILE
from training.__main__ import main
from training.learning.config import TrainingConfig, load_preset, preset_names


def test_help_explains_the_commands_and_every_preset_field() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "training", "train", "--help"], capture_output=True, text=True, check=True
    )
    for name in TrainingConfig.model_fields:
        assert f"--{name.replace('_', '-')} " in found.stdout
    overview = subprocess.run([sys.executable, "-m", "training", "--help"], capture_output=True, text=True, check=True)
    assert all(command in overview.stdout for command in ("train", "evaluate", "inspect"))


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid(preset: str) -> None:
    assert TrainingConfig(**load_preset(preset)).name == preset


def test_train_evaluate_and_inspect_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--store", str(tmp_path / "store")]
    run = ["--run-dir", str(tmp_path / "run"), "--epochs", "2", "--train-samples", "300", "--network", "FC16-VOTE2"]
    assert main(["train", "--preset", "digits-stl", "--name", "mine", *run, *places]) == 0
    trained = capsys.readouterr().out
    assert "test accuracy" in trained
    assert "published mine/1" in trained

    assert main(["evaluate", "mine", *places]) == 0
    evaluated = capsys.readouterr().out
    row = next(line for line in evaluated.splitlines() if line.startswith("test accuracy"))
    assert row in trained

    assert main(["inspect", "mine/1", *places]) == 0
    shown = capsys.readouterr().out
    assert "FC16-VOTE2" in shown
    assert row in shown
    assert main(["inspect", "mine", "--json", *places]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads(read_card(tmp_path / "store" / "mine" / "1" / "model.pt").model_dump_json())


def test_probes_writes_the_record_that_publishing_wrote(tiny_store_root: Path, tmp_path: Path) -> None:
    version = Path(shutil.copytree(tiny_store_root / "tiny-events" / "1", tmp_path / "tiny-events" / "1"))
    published = (version / PROBES_FILE).read_bytes()
    (version / PROBES_FILE).unlink()
    assert main(["probes", "tiny-events", "--store", str(tmp_path)]) == 0
    assert (version / PROBES_FILE).read_bytes() == published


def test_evaluate_measures_with_noise(tiny_store_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for noise in ([], ["--noise", "gaussian=0"], ["--noise", "weights=0"], ["--noise", "gaussian=0.4"]):
        assert main(["evaluate", "tiny-image/1", "--store", str(tiny_store_root), *noise]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] == found[2] != found[3]
    assert main(["evaluate", "tiny-image/1", "--store", str(tiny_store_root), "--noise", "fog=1"]) == 2
    assert "there is no noise 'fog'" in capsys.readouterr().err


def test_without_a_folder_the_first_of_the_settings_is_written_and_all_are_read(
    tiny_store_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNN_MODEL_STORE", f"mine:{tiny_store_root}")
    before = sorted(tiny_store_root.rglob("*"))
    small = ["--epochs", "1", "--train-samples", "100", "--network", "FC16-VOTE2"]
    assert main(["train", "--preset", "digits-stl", "--name", "tiny-image", *small]) == 0
    assert "published tiny-image/3 in mine" in capsys.readouterr().out
    assert (tmp_path / "mine" / "tiny-image" / "3" / "model.pt").is_file()
    assert sorted(tiny_store_root.rglob("*")) == before
    for model in ("tiny-image", "tiny-image/1", "tiny-events"):
        assert main(["inspect", model]) == 0
    assert "FC16-VOTE2" in capsys.readouterr().out
    monkeypatch.delenv("SNN_MODEL_STORE")
    assert main(["inspect", "tiny-image"]) == 2
    assert "there is no model 'tiny-image' in models or model_store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "nothing/two"], "'nothing/two': write a model name, or name/version"),
        (["train", "--preset", "digits-stl", "--epochs", "0"], "--epochs"),
        (["train", "--preset", "digits-stl", "--network", "FC8"], "must end with VOTE"),
        (["train", "--dataset", "digits"], "--name: Field required"),
        (["train", "--preset", "mnist-stl", "--data-dir", "nowhere"], "nowhere"),
        (["train", "--preset", "digits-stl", "--threshold", "nan"], "--threshold"),
        (["train", "--preset", "digits-stl", "--learning-rate", "inf"], "--learning-rate"),
        (["train", "--preset", "digits-stl", "--network", "3C3-MP4-MP4-VOTE"], "MP4 does not fit"),
        (["train", "--preset", "digits-stl", "--step-us", "5"], "step_us: not applicable"),
        (["train", "--preset", "digits-stl", "--image-shape", "3x8x8"], "--image-shape"),
        (["inspect", "nothing"], "no model 'nothing'"),
        (["evaluate", "nothing/2"], "no model 'nothing'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert message in told
    assert not {"models", "model_store"} & {path.name for path in tmp_path.iterdir()}
