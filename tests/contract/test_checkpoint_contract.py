"""The checkpoint as docs/checkpoint.md describes it, with nothing but torch: what any reader may rely on."""

import json
from pathlib import Path

import pytest
import torch

from contract.card import Card

MODELS = ["tiny-image", "tiny-direct", "tiny-events"]
SHIPPED = Path(__file__).parents[2] / "model_store"


def load(path: Path) -> tuple[torch.jit.ScriptModule, Card]:
    extra = {"card.json": ""}
    module = torch.jit.load(str(path), _extra_files=extra)
    return module, Card.model_validate(json.loads(extra["card.json"]))


def encoded(module: torch.jit.ScriptModule, card: Card, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    if card.input.kind == "image":
        pixels = torch.randint(0, 256, (batch, *card.input.shape), dtype=torch.uint8, generator=generator)
        return module.encode_image(pixels, torch.arange(batch))  # type: ignore[no-any-return]
    channels, height, width = card.input.shape
    count = 60 * batch
    columns = [torch.arange(count) // 60, torch.arange(count) % 60 * 80]
    columns += [torch.randint(0, most, (count,), generator=generator) for most in (width, height, channels)]
    return module.encode_events(torch.stack(columns, 1), batch)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", MODELS)
def test_every_method_gives_the_shapes_and_types_it_promises(tiny_store_root: Path, name: str) -> None:
    module, card = load(tiny_store_root / name / "1" / "model.pt")
    x = encoded(module, card, 3)
    assert x.dtype == torch.float32
    assert list(x.shape) == [card.timesteps, 3, *card.input.shape]
    scores, spikes, synops = module(x)
    assert (scores.dtype, list(scores.shape)) == (torch.float32, [card.timesteps, 3, len(card.labels)])
    assert (spikes.dtype, list(spikes.shape)) == (torch.int64, [card.timesteps, 3, len(card.spiking_layers)])
    assert (synops.dtype, list(synops.shape)) == (torch.int64, [card.timesteps, 3, len(card.synaptic_layers)])
    assert torch.equal(scores, scores.round())
    assert 0 < scores.max() <= card.voters
    state = module.initial_state(3)
    assert [list(potential.shape) for potential in state] == [[3, *layer.out_shape] for layer in card.spiking_layers]
    assert all(potential.abs().max() == 0 for potential in state)


@pytest.mark.parametrize("name", MODELS)
def test_forward_equals_a_call_of_step_for_each_time_step(tiny_store_root: Path, name: str) -> None:
    module, card = load(tiny_store_root / name / "1" / "model.pt")
    x = encoded(module, card, 5)
    whole = module(x)
    state = module.initial_state(5)
    for t in range(card.timesteps):
        *step, state = module.step(x[t], state)
        for found, expected in zip(step, whole, strict=True):
            assert torch.equal(found, expected[t])


@pytest.mark.parametrize(("name", "other"), [("tiny-image", "encode_events"), ("tiny-events", "encode_image")])
def test_the_wrong_kind_of_input_is_refused(tiny_store_root: Path, name: str, other: str) -> None:
    module, _ = load(tiny_store_root / name / "1" / "model.pt")
    arguments = {
        "encode_events": (torch.zeros((1, 5), dtype=torch.int64), 1),
        "encode_image": (torch.zeros((1, 2, 8, 8), dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)),
    }
    with pytest.raises(torch.jit.Error, match="this model takes"):
        getattr(module, other)(*arguments[other])


@pytest.mark.parametrize("folder", sorted(SHIPPED.glob("*/[0-9]*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_checkpoint_keeps_the_contract(folder: Path) -> None:
    module, card = load(folder / "model.pt")
    assert card.name == folder.parent.name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 4_000_000
    x = encoded(module, card, 2)
    scores, spikes, synops = module(x)
    assert scores.shape[2] == len(card.labels)
    assert int(spikes.sum()) > 0
    assert all(layer.exact for layer in card.layers)
    alone = module(x[:, 1:])
    assert all(torch.equal(one, both[:, 1:]) for one, both in zip(alone, (scores, spikes, synops), strict=True))


@pytest.mark.parametrize("folder", sorted(SHIPPED.glob("*-stl/[0-9]*")), ids=lambda path: path.parent.name)
def test_the_thresholds_of_a_shipped_stl_checkpoint_have_moved(folder: Path) -> None:
    module, card = load(folder / "model.pt")
    assert card.learning.mode == "stl"
    assert card.learning.threshold is not None
    thresholds = {name: value for name, value in module.state_dict().items() if name.endswith("neurons.threshold")}
    assert len(thresholds) == len(card.spiking_layers)
    for value in thresholds.values():
        assert value.numel() > 1
        assert float(value.min()) > 0
        assert float((value - card.learning.threshold).abs().mean()) > 0.01
        assert float(value.std()) > 0.005
