import math

import pytest
import torch

from contract.card import EventEncoder, ImageEncoder, InputSpec
from training.snn.encode import EventInput, ImageInput

IMAGE = InputSpec(kind="image", channels=1, height=6, width=7)


def poisson(timesteps: int = 4, spec: InputSpec = IMAGE) -> ImageInput:
    return ImageInput(spec, ImageEncoder(coding="poisson", timesteps=timesteps))


def images(batch: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 1, 6, 7), dtype=torch.uint8, generator=generator)


def test_a_poisson_draw_depends_on_image_and_seed_alone() -> None:
    encoder, pixels, seeds = poisson(), images(9), torch.arange(100, 109)
    torch.manual_seed(1)
    together = encoder.image(pixels, seeds)
    torch.manual_seed(2)
    for index in range(9):
        alone = encoder.image(pixels[index : index + 1], seeds[index : index + 1])
        assert torch.equal(alone[:, 0], together[:, index])


def test_the_first_steps_do_not_depend_on_how_many_follow() -> None:
    pixels, seeds = images(2), torch.tensor([5, 6])
    assert torch.equal(poisson(3).image(pixels, seeds), poisson(11).image(pixels, seeds)[:3])


def test_black_never_spikes_and_white_always_does() -> None:
    pixels = torch.zeros((1, 1, 6, 7), dtype=torch.uint8)
    pixels[..., 3:] = 255
    spikes = poisson(50).image(pixels, torch.tensor([9]))
    assert spikes[..., :3].sum() == 0
    assert spikes[..., 3:].min() == 1


@pytest.mark.parametrize("pixel", [1, 100, 128, 254])
def test_the_mean_over_many_seeds_is_the_pixel(pixel: int) -> None:
    pixels = torch.full((500, 1, 6, 7), pixel, dtype=torch.uint8)
    spikes = poisson(40).image(pixels, torch.arange(500))
    p = pixel / 255
    assert float(spikes.mean()) == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / spikes.numel()))


def test_draws_are_independent_over_pixels_steps_and_seeds() -> None:
    pixels = torch.full((400, 1, 6, 7), 128, dtype=torch.uint8)
    # large seeds differ in their high word only
    for seeds in (torch.arange(400), torch.arange(400) << 32):
        spikes = poisson(40).image(pixels, seeds) - 128 / 255
        bound = 4 / math.sqrt(spikes.numel()) / 4
        for other in (spikes.roll(1, 0), spikes.roll(1, 1), spikes.roll(1, 4), spikes.roll(1, 3), spikes.roll(4, 0)):
            assert abs(float((spikes * other).mean())) < bound


def test_direct_coding_gives_the_pixels_at_every_step() -> None:
    encoder = ImageInput(IMAGE, ImageEncoder(coding="direct", timesteps=3))
    pixels = images(2)
    assert torch.equal(encoder.image(pixels, torch.zeros(2, dtype=torch.int64)), pixels.float().expand(3, 2, 1, 6, 7))


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="channels, height and width"):
        poisson().image(torch.zeros((1, 1, 7, 6), dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))


def events(rows: list[tuple[int, int, int, int, int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int64)


def event_input(channels: int = 2, **fields: object) -> EventInput:
    spec = InputSpec(kind="events", channels=channels, height=2, width=3)
    return EventInput(spec, EventEncoder.model_validate({"binning": "step", "step_us": 10, "timesteps": 3} | fields))


def test_fixed_steps_start_at_the_first_event_and_end_after_t() -> None:
    rows = [
        (0, 105, 0, 0, 1),  # the first event: bin 0
        (0, 114, 1, 0, 0),  # 9 us later: still bin 0
        (0, 115, 2, 1, 1),  # 10 us later: bin 1
        (0, 134, 0, 1, 1),  # bin 2
        (0, 135, 2, 0, 1),  # 30 us later: beyond the third step, dropped
        (1, 7, 2, 1, 0),  # another sample has its own time zero
    ]
    frames = event_input().events(events(rows), 2)
    expected = torch.zeros(3, 2, 2, 2, 3)
    expected[0, 0, 1, 0, 0] = 1
    expected[0, 0, 0, 0, 1] = 1
    expected[1, 0, 1, 1, 2] = 1
    expected[2, 0, 1, 1, 0] = 1
    expected[0, 1, 0, 1, 2] = 1
    assert torch.equal(frames, expected)


def test_a_span_is_cut_into_equal_parts_with_the_last_event_in_the_last() -> None:
    encoder = event_input(binning="span", step_us=None)
    times = [50, 59, 60, 69, 70, 80]
    frames = encoder.events(events([(0, t, i % 3, i // 3, 0) for i, t in enumerate(times)]), 1)
    bins = [int(frames[:, 0, 0, i // 3, i % 3].argmax()) for i in range(6)]
    assert bins == [0, 0, 1, 1, 2, 2]


def test_parts_of_a_span_that_t_does_not_divide() -> None:
    encoder = event_input(binning="span", step_us=None)
    # span 10 in 3 parts: floor(elapsed * 3 / 10)
    for elapsed in range(11):
        frames = encoder.events(events([(0, 0, 0, 0, 0), (0, elapsed, 1, 0, 0), (0, 10, 2, 0, 0)]), 1)
        assert int(frames[:, 0, 0, 0, 1].argmax()) == min(elapsed * 3 // 10, 2)


def test_a_span_near_the_largest_time_does_not_overflow() -> None:
    encoder = event_input(binning="span", step_us=None)
    far = 2**62 - 1
    frames = encoder.events(events([(0, 0, 0, 0, 0), (0, far // 2, 1, 0, 0), (0, far, 2, 0, 0)]), 1)
    assert [int(frames[:, 0, 0, 0, x].argmax()) for x in range(3)] == [0, 1, 2]


def test_a_recording_of_one_moment_is_bin_zero() -> None:
    frames = event_input(binning="span", step_us=None).events(events([(0, 8, 0, 0, 1), (0, 8, 1, 0, 1)]), 1)
    assert frames.sum((1, 2, 3, 4)).tolist() == [2, 0, 0]


def test_bins_are_binary_or_counts_that_saturate() -> None:
    rows = events([(0, 0, 1, 1, 0)] * 300 + [(0, 1, 0, 0, 1)] * 2)
    assert event_input().events(rows, 1)[0].unique().tolist() == [0, 1]
    counted = event_input(bin_value="count").events(rows, 1)[0, 0]
    assert counted[0, 1, 1] == 255
    assert counted[1, 0, 0] == 2


def test_one_channel_takes_both_polarities() -> None:
    frames = event_input(channels=1, bin_value="count").events(events([(0, 0, 1, 1, 0), (0, 1, 1, 1, 1)]), 1)
    assert frames[0, 0, 0, 1, 1] == 2
