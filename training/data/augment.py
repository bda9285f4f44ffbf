"""Augmentation: random flips and shifts of samples, and lost events. Draws from torch's global generator."""

import torch
from torch import Tensor


def shift_images(pixels: Tensor, most: int) -> Tensor:
    """Move each image of `[B, C, H, W]` by up to `most` pixels each way, with zeros where nothing was.

    This is a random crop of the same size from the image padded by `most` zeros on each side.
    """
    if most == 0:
        return pixels
    dy, dx = torch.randint(0, 2 * most + 1, (2, len(pixels), 1), device=pixels.device)
    return _cropped(pixels, most, dy, dx)


def shift_bins(frames: Tensor, most: int) -> Tensor:
    """Move the bins of recordings `[B, T * C, H, W]` as `shift_events` moves their events, by the same draws.

    They stay in their time, whereas events get another start of time where the first of them leaves the sensor.
    """
    if most == 0:
        return frames
    by = torch.randint(-most, most + 1, (len(frames), 2), device=frames.device)
    return _cropped(frames, most, most - by[:, 1:], most - by[:, :1])


def _cropped(pixels: Tensor, most: int, dy: Tensor, dx: Tensor) -> Tensor:
    """Each image of `[B, C, H, W]`, padded by `most` zeros, from row `dy` and column `dx` on (both `[B, 1]`)."""
    _, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, (most, most, most, most))
    rows = (torch.arange(height, device=pixels.device) + dy)[:, None, :, None]
    columns = (torch.arange(width, device=pixels.device) + dx)[:, None, None, :]
    sample = torch.arange(len(pixels), device=pixels.device)[:, None, None, None]
    channel = torch.arange(pixels.shape[1], device=pixels.device)[None, :, None, None]
    return padded[sample, channel, rows, columns]


def shift_events(events: Tensor, batch_size: int, most: int, height: int, width: int) -> Tensor:
    """Move each recording of events `[N, 5]` by up to `most` pixels each way; what leaves the sensor is dropped."""
    if most == 0:
        return events
    by = torch.randint(-most, most + 1, (batch_size, 2), device=events.device)
    moved = events.clone()
    moved[:, 2:4] += by[events[:, 0]]
    x, y = moved[:, 2], moved[:, 3]
    return moved[(x >= 0) & (x < width) & (y >= 0) & (y < height)]


def flip_images(pixels: Tensor) -> Tensor:
    """Mirror every second image of `[B, C, H, W]`, on average, left to right."""
    mirrored = torch.randint(0, 2, (len(pixels), 1, 1, 1), device=pixels.device) > 0
    return torch.where(mirrored, pixels.flip(3), pixels)


def flip_events(events: Tensor, batch_size: int, width: int) -> Tensor:
    """Mirror every second recording of events `[N, 5]`, on average, left to right."""
    mirrored = torch.randint(0, 2, (batch_size,), device=events.device) > 0
    turned = events.clone()
    turned[:, 2] = torch.where(mirrored[events[:, 0]], width - 1 - events[:, 2], events[:, 2])
    return turned


def drop_events(events: Tensor, batch_size: int, most: float) -> Tensor:
    """Lose a share of each recording's events, drawn for each recording between 0 and `most`."""
    if most == 0:
        return events
    share = torch.rand(batch_size, device=events.device) * most
    kept = torch.rand(len(events), device=events.device) >= share[events[:, 0]]
    return events[kept]


def drop_from_bins(frames: Tensor, most: float) -> Tensor:
    """Empty a share of each recording's pixels in bins `[B, T * C, H, W]`, drawn for each between 0 and `most`."""
    if most == 0:
        return frames
    share = torch.rand(len(frames), device=frames.device) * most
    return frames * (torch.rand(frames.shape, device=frames.device) >= share[:, None, None, None])
