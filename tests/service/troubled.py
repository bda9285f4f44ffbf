"""A real scripted network that gets into trouble when asked to, by the seed of a sample or the size of a batch."""

from pathlib import Path

import torch
from torch import nn

from contract.card import CARD_FILE, read_card
from contract.store import Store

NAME = "troubled"
RAISES, NOT_A_NUMBER, SLOW, TOO_LARGE = 666, 777, 555, 444
ROOM = 3
"""Rows that the network's memory has room for."""


class Troubled(nn.Module):
    """A trained network behind an encoder that fails for marked samples."""

    def __init__(self, network: torch.jit.ScriptModule, slow_rounds: int) -> None:
        super().__init__()
        self.network = network
        self.room = ROOM
        self.slow_rounds = slow_rounds

    @torch.jit.export
    def encode_image(self, images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        if bool((seeds == 666).any()):
            raise RuntimeError("the network cannot bear this sample")
        if images.shape[0] > self.room or bool((seeds == 444).any()):
            images = images + torch.zeros([1000000000000000], dtype=torch.uint8)
        x = self.network.encode_image(images, seeds)
        if bool((seeds == 555).any()):
            turned = torch.ones([256, 256])
            for _ in range(self.slow_rounds):
                turned = (turned @ turned) / 256.0
            x = x * turned[0, 0]
        return torch.where((seeds == 777).reshape(1, -1, 1, 1, 1), torch.full_like(x, float("nan")), x)

    @torch.jit.export
    def encode_events(self, events: torch.Tensor, batch_size: int) -> torch.Tensor:
        x: torch.Tensor = self.network.encode_events(events, batch_size)
        return x

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scores, spikes, synops = self.network(x)
        return scores + 0 * x.sum([0, 2, 3, 4]).reshape(1, -1, 1), spikes, synops

    @torch.jit.export
    def initial_state(self, batch_size: int) -> list[torch.Tensor]:
        state: list[torch.Tensor] = self.network.initial_state(batch_size)
        return state

    @torch.jit.export
    def step(
        self, x: torch.Tensor, state: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        scores, spikes, synops, after = self.network.step(x, state)
        return scores, spikes, synops, after


def add_troubled(root: Path, *, slow_rounds: int = 1500) -> Path:
    """Put `troubled` version 1, made of `tiny-image`, into the store at `root`; returns its checkpoint's path."""
    origin = Store(root).checkpoint_path("tiny-image", 1)
    scripted = torch.jit.script(Troubled(torch.jit.load(str(origin)), slow_rounds))
    card = read_card(origin).model_copy(update={"name": NAME})
    path = root / NAME / "1" / "model.pt"
    path.parent.mkdir(parents=True)
    torch.jit.save(scripted, str(path), _extra_files={CARD_FILE: card.model_dump_json()})
    return path
