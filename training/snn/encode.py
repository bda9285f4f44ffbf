"""From pixels and events to the network's input at each time step. Scripted into the checkpoint."""

import torch
from torch import Tensor, nn

from contract.card import MAX_COUNT, MAX_PIXEL, EventEncoder, ImageEncoder, InputSpec
from training.snn.philox import philox


class ImageInput(nn.Module):
    """Images over T time steps: Poisson spikes, or the pixel value itself (direct coding)."""

    def __init__(self, spec: InputSpec, encoder: ImageEncoder) -> None:
        super().__init__()
        self.shape = list(spec.shape)
        self.timesteps = encoder.timesteps
        self.poisson = encoder.coding == "poisson"
        self.max_pixel = MAX_PIXEL

    def image(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Network input float32 `[T, B, C, H, W]` for uint8 `[B, C, H, W]` and one int64 seed per image `[B]`.

        Poisson coding gives 1 with probability pixel / 255, drawn at each step from position, step and seed alone.
        Direct coding gives the pixel, 0 .. 255, at every step: the scale is in the first layer's weights.
        """
        if list(images.shape[1:]) != self.shape:
            raise ValueError("the images do not have the model's channels, height and width")
        if self.poisson:
            return self.draw(images, seeds)
        return images.to(torch.float32).unsqueeze(0).repeat([self.timesteps, 1, 1, 1, 1])

    def events(self, events: Tensor, batch_size: int) -> Tensor:
        """Rejects events: this is an image model."""
        raise ValueError("this model takes images, not events")

    def draw(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Poisson spikes; each Philox call yields four time steps of every pixel."""
        batch = images.shape[0]
        pixels = images.reshape(batch, -1)
        position = torch.arange(pixels.shape[1], device=images.device).unsqueeze(0)
        zero = torch.zeros_like(position)
        key = torch.stack([seeds & 0xFFFFFFFF, (seeds >> 32) & 0xFFFFFFFF]).unsqueeze(2)
        words: list[Tensor] = []
        for group in range((self.timesteps + 3) // 4):
            words.append(philox(torch.stack([position, zero + group, zero, zero]), key))
        draws = torch.cat(words)[: self.timesteps]
        # pixel / 255 > draw / 2^32, in integers
        spikes = (draws * self.max_pixel < pixels.to(torch.int64) << 32).to(torch.float32)
        return spikes.reshape([self.timesteps, batch] + self.shape)  # noqa: RUF005 (TorchScript)


class EventInput(nn.Module):
    """Event recordings in T time bins; time starts at the recording's first event."""

    def __init__(self, spec: InputSpec, encoder: EventEncoder) -> None:
        super().__init__()
        self.shape = list(spec.shape)
        self.timesteps = encoder.timesteps
        self.step_us = encoder.step_us or 0
        self.binary = encoder.bin_value == "binary"
        self.max_count = MAX_COUNT

    def image(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Rejects images: this is an event model."""
        raise ValueError("this model takes events, not images")

    def events(self, events: Tensor, batch_size: int) -> Tensor:
        """Network input float32 `[T, B, C, H, W]` for events int64 `[N, 5]`: sample, t (µs), x, y, p (0 or 1).

        With bins of a fixed step, events after the first T steps are dropped; otherwise the recording's span is cut
        into T equal parts. A model with one channel ignores the polarity. A count saturates at 255.
        """
        sample, time, x, y, polarity = events.unbind(1)
        first = torch.full([batch_size], 2**62, dtype=torch.int64, device=events.device)
        first = first.scatter_reduce(0, sample, time, "amin")
        elapsed = time - first[sample]
        if self.step_us > 0:
            step = elapsed.div(self.step_us, rounding_mode="floor")
        else:
            step = self.equal_parts(elapsed, sample, batch_size)
        channels, height, width = self.shape[0], self.shape[1], self.shape[2]
        if channels == 1:
            polarity = torch.zeros_like(polarity)
        place = (((step * batch_size + sample) * channels + polarity) * height + y) * width + x
        place = place[step < self.timesteps]
        size = self.timesteps * batch_size * channels * height * width
        counts = torch.zeros([size], dtype=torch.float32, device=events.device)
        if self.binary:
            counts[place] = 1.0
        else:
            counts.scatter_add_(0, place, torch.ones_like(place, dtype=torch.float32))
            counts.clamp_(max=float(self.max_count))
        return counts.reshape([self.timesteps, batch_size] + self.shape)  # noqa: RUF005 (TorchScript)

    def equal_parts(self, elapsed: Tensor, sample: Tensor, batch_size: int) -> Tensor:
        """`floor(elapsed * T / span)`, with the last event in the last part, without a product that could overflow."""
        span = torch.zeros([batch_size], dtype=torch.int64, device=elapsed.device)
        span = span.scatter_reduce(0, sample, elapsed, "amax")
        whole = span.div(self.timesteps, rounding_mode="floor")
        rest = span - whole * self.timesteps
        step = torch.zeros_like(elapsed)
        for part in range(1, self.timesteps):
            start = whole * part + (rest * part + self.timesteps - 1).div(self.timesteps, rounding_mode="floor")
            step += ((elapsed >= start[sample]) & (span[sample] > 0)).to(torch.int64)
        return step


def build_encoder(spec: InputSpec, encoder: ImageEncoder | EventEncoder) -> ImageInput | EventInput:
    """The encoder that a card or a training configuration describes."""
    if isinstance(encoder, ImageEncoder):
        return ImageInput(spec, encoder)
    return EventInput(spec, encoder)
