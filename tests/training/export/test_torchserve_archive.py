import json
import shutil
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from training.__main__ import main


def run(store: Path, folder: Path, *arguments: str) -> int:
    return main(["archive", *arguments, "--store", str(store), "--out", str(folder)])


def test_an_archive_holds_the_unchanged_checkpoint_the_handler_and_the_workers_configuration(
    tiny_store_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_store_root, tmp_path, "tiny-image/1", "--batch-size", "4", "--max-batch-delay", "7") == 0
    path = tmp_path / "tiny-image-1.mar"
    assert capsys.readouterr().out.strip() == str(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    own = {"torchserve_handler.py", "model-config.yaml", "MAR-INF/MANIFEST.json"}
    assert members.keys() == {"model.pt", "reference.json"} | own
    for name in ("model.pt", "reference.json"):
        assert members[name] == (tiny_store_root / "tiny-image" / "1" / name).read_bytes()
    assert members["torchserve_handler.py"] == files("service").joinpath("torchserve_handler.py").read_bytes()
    assert members["model-config.yaml"].decode().splitlines() == [
        "minWorkers: 1",
        "maxWorkers: 1",
        "batchSize: 4",
        "maxBatchDelay: 7",
        "responseTimeout: 60",
    ]
    assert json.loads(members["MAR-INF/MANIFEST.json"])["model"] == {
        "modelName": "tiny-image",
        "serializedFile": "model.pt",
        "handler": "torchserve_handler.py",
        "modelVersion": "1",
        "configFile": "model-config.yaml",
    }


def test_without_a_version_the_newest_is_archived(tiny_store_root: Path, tmp_path: Path) -> None:
    assert run(tiny_store_root, tmp_path / "new" / "folder", "tiny-image") == 0
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["tiny-image-2.mar"]


def test_the_same_checkpoint_gives_the_same_bytes_in_place_of_the_old(tiny_store_root: Path, tmp_path: Path) -> None:
    assert run(tiny_store_root, tmp_path, "tiny-events") == 0
    first = (tmp_path / "tiny-events-1.mar").read_bytes()
    (tmp_path / "tiny-events-1.mar").write_bytes(b"old")
    assert run(tiny_store_root, tmp_path, "tiny-events") == 0
    assert (tmp_path / "tiny-events-1.mar").read_bytes() == first
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no model 'nothing'"),
        (["tiny-image/9"], "tiny-image has no version 9"),
        (["tiny-image", "--batch-size", "0"], "batchSize must be 1 or more"),
    ],
)
def test_what_cannot_be_archived_is_told_and_nothing_is_written(
    arguments: list[str], message: str, tiny_store_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_store_root, tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(
    tiny_store_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(tiny_store_root, tmp_path / "file", "tiny-image") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_broken_checkpoint_is_not_archived(
    tiny_store_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = shutil.copytree(tiny_store_root, tmp_path / "store")
    (store / "tiny-image" / "1" / "model.pt").write_bytes(b"nothing")
    assert run(store, tmp_path / "archives", "tiny-image/1") == 2
    assert "not a complete TorchScript archive" in capsys.readouterr().err
    assert not (tmp_path / "archives").exists()
