"""`check` names everything that is wrong with an archive, and finds what the service would refuse."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from contract.card import CARD_FILE, read_card
from contract.checkpoint import CheckpointError
from service.engine.device import CPU
from service.engine.load import load_engine
from tests.tiny import rewritten
from training.__main__ import main
from training.export.check import Findings, check_checkpoint
from training.export.checkpoint import load_scripted

Fields = dict[str, Any]


class OnlyForward(nn.Module):
    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.network(x)  # type: ignore[no-any-return]


class ImageNetwork(OnlyForward):
    """Everything that an image model needs, and no `encode_events`."""

    @torch.jit.export
    def encode_image(self, images: Tensor, seeds: Tensor) -> Tensor:
        return self.network.encode_image(images, seeds)  # type: ignore[no-any-return]

    @torch.jit.export
    def initial_state(self, batch_size: int) -> list[Tensor]:
        return self.network.initial_state(batch_size)  # type: ignore[no-any-return]

    @torch.jit.export
    def step(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        return self.network.step(x, state)  # type: ignore[no-any-return]


class Raising(ImageNetwork):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if x.numel() > 0:
            raise ValueError("no weights in /srv/secret/weights.bin")
        return self.network(x)  # type: ignore[no-any-return]


class OtherSteps(ImageNetwork):
    """Counts a vote more in `step`."""

    @torch.jit.export
    def step(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        scores, spikes, synops, after = self.network.step(x, state)
        return scores + 1, spikes, synops, after


@pytest.fixture
def archive(tiny_store_root: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes((tiny_store_root / "tiny-direct" / "1" / "model.pt").read_bytes())
    return path


def with_card(path: Path, change: Callable[[Fields], object]) -> None:
    fields = json.loads(read_card(path).model_dump_json())
    change(fields)
    text = json.dumps(fields).encode()
    rewritten(path, lambda name, data: text if name.endswith(CARD_FILE) else data)


def with_network(path: Path, kind: type[OnlyForward]) -> None:
    card, network = read_card(path), torch.jit.script(kind(load_scripted(path)).eval())
    torch.jit.save(network, str(path), _extra_files={CARD_FILE: card.model_dump_json()})


def checked(path: Path) -> Findings:
    """What is found; the service loads the archive exactly if there are no faults."""
    found = check_checkpoint(path)
    with pytest.raises(CheckpointError) if found.faults else nullcontext():
        load_engine(path, CPU, "torchscript")
    return found


def test_a_published_archive_has_no_faults(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(archive).notes == []
    assert main(["check", str(archive.parent)]) == 0
    assert capsys.readouterr().out == f"{archive}: the service can load it\n"


def test_an_image_model_needs_no_encoder_of_events(archive: Path) -> None:
    with_network(archive, ImageNetwork)
    assert checked(archive).faults == []


def test_all_faults_of_card_and_network_are_named(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_network(archive, OnlyForward)
    assert checked(archive).faults == [
        f"the network has no method {name}" for name in ("encode_image", "initial_state", "step")
    ]
    text = b'{"name": "mine", "voters": 0, "labels": ["a"], "surplus": 1}'
    rewritten(archive, lambda name, data: text if name.endswith(CARD_FILE) else data)
    assert main(["check", str(archive)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for part in (
        "voters: Input should be greater than 0",
        "labels: Tuple",
        "surplus: Extra",
        "encoder: Field required",
    ):
        assert any(line.startswith(f"fault: card.json is not valid: {part}") for line in lines), lines
    assert "fault: the network has no method step" in lines
    assert lines[-1] == f"{archive}: {len(lines) - 1} faults"


def test_parts_of_a_card_that_disagree_are_named_together(archive: Path) -> None:
    def change(fields: Fields) -> None:
        fields["labels"][1] = fields["labels"][0]
        fields["layers"][0]["spikes_index"] = 7

    with_card(archive, change)
    (fault,) = checked(archive).faults
    assert "spikes_index must number" in fault
    assert "labels must be unique" in fault


def test_outputs_that_do_not_match_the_card_are_named_together(archive: Path, tiny_store_root: Path) -> None:
    other = json.loads(read_card(tiny_store_root / "tiny-image" / "1" / "model.pt").model_dump_json())

    def change(fields: Fields) -> None:
        fields["labels"].append("one more")
        fields["layers"] = other["layers"]

    with_card(archive, change)
    found = checked(archive)
    assert [fault.split(" do not")[0] for fault in found.faults] == [
        f"the network's {name}" for name in ("scores", "spikes", "synops")
    ]
    assert found.faults[0].endswith("[4, 1, 10] instead of [4, 1, 11]")


def test_a_network_that_raises_is_reported_with_its_reason(archive: Path) -> None:
    with_network(archive, Raising)
    reason = "ValueError: no weights in (path)"
    assert checked(archive).faults == [f"the network does not run: forward raised {reason}"]
    with pytest.raises(CheckpointError) as caught:
        load_engine(archive, CPU, "torchscript")
    assert str(caught.value) == f"the network does not run: {reason}"


def test_steps_that_differ_from_forward_are_a_fault(archive: Path) -> None:
    with_network(archive, OtherSteps)
    assert check_checkpoint(archive).faults == ["step does not give the scores of forward, first at time step 0"]


def test_weights_that_are_not_on_a_grid_are_a_note(archive: Path) -> None:
    card, module = read_card(archive), load_scripted(archive)
    for weights in module.parameters():
        weights.data *= 1.0001
    torch.jit.save(module, str(archive), _extra_files={CARD_FILE: card.model_dump_json()})
    found = checked(archive)
    assert (found.faults, len(found.notes)) == ([], 1)
    assert found.notes[0].startswith("the event engine cannot run the network, so TorchScript will")


def test_a_file_that_is_damaged_or_no_network_is_one_fault(archive: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[:500])
    assert checked(archive).faults == ["the checkpoint is truncated or not a TorchScript archive"]
    archive.write_bytes(whole)
    rewritten(archive, lambda name, data: data if name.endswith(CARD_FILE) else None)
    (fault,) = checked(archive).faults
    assert fault.startswith("torch cannot load the checkpoint: RuntimeError: ")
