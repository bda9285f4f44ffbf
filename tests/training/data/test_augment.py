import torch

from training.data.augment import (
    drop_events,
    drop_from_bins,
    flip_events,
    flip_images,
    shift_bins,
    shift_events,
    shift_images,
)


def test_images_move_within_reach_and_leave_zeros_behind() -> None:
    torch.manual_seed(0)
    images = torch.arange(1, 17, dtype=torch.uint8).reshape(1, 1, 4, 4).repeat(200, 1, 1, 1)
    moved = shift_images(images, 1)
    padded = torch.nn.functional.pad(images[0, 0], (1, 1, 1, 1))
    possible = {tuple(padded[y : y + 4, x : x + 4].flatten().tolist()) for y in range(3) for x in range(3)}
    found = {tuple(image.flatten().tolist()) for image in moved}
    assert found == possible
    assert moved.dtype == torch.uint8


def test_half_of_the_images_are_mirrored_left_to_right() -> None:
    torch.manual_seed(0)
    images = torch.arange(24, dtype=torch.uint8).reshape(1, 2, 3, 4).repeat(1000, 1, 1, 1)
    flipped = flip_images(images)
    same = (flipped == images).all(dim=(1, 2, 3))
    mirrored = (flipped == images[..., [3, 2, 1, 0]]).all(dim=(1, 2, 3))
    assert bool((same ^ mirrored).all())
    assert 440 < int(mirrored.sum()) < 560


def test_recordings_are_mirrored_as_their_pixels_are() -> None:
    events = torch.tensor([[sample, t, x, x % 2, t] for sample in range(100) for t, x in ((0, 0), (1, 2), (1, 4))])
    pixels = torch.zeros(100, 2, 2, 5)
    pixels[events[:, 0], events[:, 4], events[:, 3], events[:, 2]] = 1
    torch.manual_seed(3)
    turned = flip_events(events, 100, width=5)
    found = torch.zeros_like(pixels)
    found[turned[:, 0], turned[:, 4], turned[:, 3], turned[:, 2]] = 1
    torch.manual_seed(3)
    assert torch.equal(found, flip_images(pixels))
    assert torch.equal(turned[:, [0, 1, 3, 4]], events[:, [0, 1, 3, 4]])
    assert not torch.equal(turned, events)


def test_recordings_move_as_a_whole_and_lose_what_leaves_the_sensor() -> None:
    torch.manual_seed(0)
    events = torch.tensor([[sample, 0, x, 1, 1] for sample in range(100) for x in (0, 2, 3)])
    moved = shift_events(events, 100, 1, height=3, width=4)
    assert moved[:, 2].min() >= 0
    assert moved[:, 2].max() < 4
    steps = set()
    for sample in range(100):
        mine = moved[moved[:, 0] == sample]
        assert mine[:, 3].unique().numel() == 1
        steps.add((tuple(mine[:, 2].tolist()), int(mine[0, 3]) - 1))
    columns = {(1, 2), (0, 2, 3), (1, 3)}
    assert steps == {(column, row) for column in columns for row in (-1, 0, 1)}


def test_each_recording_loses_a_share_of_its_own() -> None:
    torch.manual_seed(0)
    events = torch.tensor([[sample, t, 0, 0, 1] for sample in range(40) for t in range(500)])
    kept = drop_events(events, 40, 0.6)
    shares = torch.bincount(kept[:, 0], minlength=40) / 500
    assert 0.35 < shares.min() < 0.5
    assert 0.9 < shares.max() <= 1
    assert bool((kept[:, 1].diff()[kept[:, 0].diff() == 0] > 0).all())


def test_each_recording_in_bins_loses_a_share_of_its_pixels() -> None:
    torch.manual_seed(0)
    kept = drop_from_bins(torch.full((40, 2, 16, 16), 3, dtype=torch.uint8), 0.6)
    assert kept.dtype == torch.uint8
    assert kept.unique().tolist() == [0, 3]
    shares = (kept > 0).double().mean((1, 2, 3))
    assert 0.35 < shares.min() < 0.5
    assert 0.9 < shares.max() <= 1


def test_nothing_happens_where_nothing_is_asked_for() -> None:
    events, images = torch.ones(3, 5, dtype=torch.int64), torch.ones(2, 1, 3, 3)
    assert shift_images(images, 0) is images
    assert shift_events(events, 2, 0, 3, 3) is events
    assert drop_events(events, 2, 0) is events
    assert shift_bins(images, 0) is images
    assert drop_from_bins(images, 0) is images
