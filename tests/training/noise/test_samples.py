import numpy as np
import pytest
import torch
from scipy import stats  # type: ignore[import-untyped]

from tests.tiny import moving_bars
from training.data import Images, Recordings
from training.errors import ConfigError
from training.noise.kinds import parse_noise
from training.noise.samples import noisy_samples

SHAPE = (1, 20, 30)
SENSOR = (2, 8, 8)


def grey(count: int, value: int = 128) -> Images:
    return Images(torch.full((count, *SHAPE), value, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64))


def events(count: int, seed: int = 0) -> Recordings:
    """One recording of a second on an 8 x 8 sensor."""
    rng = np.random.default_rng(seed)
    columns = [np.sort(rng.integers(0, 1_000_000, count)), *(rng.integers(0, high, count) for high in (8, 8, 2))]
    return Recordings.of(
        torch.from_numpy(np.stack(columns, 1)), torch.tensor([0, count]), torch.zeros(1, dtype=torch.int64)
    )


def noisy(samples: Images | Recordings, text: str, draw: int = 0) -> torch.Tensor:
    found = noisy_samples(samples, parse_noise(text, draw), SENSOR)
    if isinstance(found, Images):
        return found.pixels
    assert isinstance(found, Recordings)
    return found.unpack()


def test_gaussian_noise_is_normal() -> None:
    differences = noisy(grey(50), "gaussian=0.1").double().flatten() - 128
    assert float(differences.mean()) == pytest.approx(0, abs=0.5)
    jittered = differences.numpy() + np.random.default_rng(0).uniform(-0.5, 0.5, len(differences))
    expected = stats.norm(0, np.hypot(25.5, np.sqrt(1 / 12)))
    assert stats.kstest(jittered, expected.cdf).pvalue > 0.01


def test_gaussian_noise_is_clipped() -> None:
    values = noisy(grey(20, 255), "gaussian=0.5")
    assert values.dtype == torch.uint8
    assert float((values == 255).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert int(values.max()) == 255


def test_salt_and_pepper_replace_a_share_in_equal_parts() -> None:
    values = noisy(grey(50), "salt-and-pepper=0.3")
    size = values.numel()
    for value, share in ((0, 0.15), (255, 0.15), (128, 0.7)):
        assert stats.binomtest(int((values == value).sum()), size, share).pvalue > 0.01


def test_a_sample_is_changed_in_the_same_way_whatever_others_there_are() -> None:
    many, few = noisy(grey(5), "gaussian=0.2"), noisy(grey(2), "gaussian=0.2")
    assert torch.equal(many[:2], few)
    assert not torch.equal(many[0], many[1])
    assert not torch.equal(noisy(grey(2), "gaussian=0.2", draw=1), few)


@pytest.mark.parametrize("text", ["gaussian=0", "salt-and-pepper=0"])
def test_level_zero_changes_no_image(text: str) -> None:
    assert torch.equal(noisy(grey(2), text), grey(2).pixels)


@pytest.mark.parametrize("text", ["drop=0", "background=0", "jitter=0", "flip=0"])
def test_level_zero_changes_no_recording(text: str) -> None:
    assert torch.equal(noisy(events(100), text), events(100).unpack())


def test_a_share_of_the_events_is_dropped() -> None:
    before, after = events(10_000).unpack(), noisy(events(10_000), "drop=0.3")
    assert stats.binomtest(len(before) - len(after), len(before), 0.3).pvalue > 0.01
    assert {tuple(event) for event in after.tolist()} <= {tuple(event) for event in before.tolist()}
    assert len(noisy(events(10), "drop=1")) == 1


def test_a_share_of_the_polarities_is_turned() -> None:
    before, after = events(10_000).unpack(), noisy(events(10_000), "flip=0.2")
    assert torch.equal(before[:, :3], after[:, :3])
    assert stats.binomtest(int((before[:, 3] != after[:, 3]).sum()), len(before), 0.2).pvalue > 0.01


def test_times_are_moved_by_a_normal_deviate_and_sorted() -> None:
    lone = [events(1, seed).unpack() for seed in range(2000)]
    recordings = Recordings.of(
        torch.cat([event + torch.tensor([10**9, 0, 0, 0]) for event in lone]),
        torch.arange(2001),
        torch.zeros(2000, dtype=torch.int64),
    )
    moved = noisy_samples(recordings, parse_noise("jitter=5"), SENSOR)
    assert isinstance(moved, Recordings)
    distance = (moved.unpack()[:, 0] - recordings.unpack()[:, 0]).double().numpy() / 5000
    assert stats.kstest(distance, "norm").pvalue > 0.01
    many = noisy(events(1000), "jitter=10")
    assert int(many[:, 0].min()) >= 0
    assert bool((many[:, 0].diff() >= 0).all())


def test_background_is_a_poisson_process_at_every_pixel() -> None:
    before, after = events(500).unpack(), noisy(events(500), "background=5")
    added = len(after) - len(before)
    seconds = float(before[-1, 0] - before[0, 0]) * 1e-6
    assert stats.poisson(5 * 64 * seconds).cdf([added - 1, added]) == pytest.approx([0.5, 0.5], abs=0.499)
    assert bool((after[:, 0].diff() >= 0).all())
    assert {tuple(event) for event in before.tolist()} <= {tuple(event) for event in after.tolist()}
    assert after[:, 1:].amax(0).tolist() == [7, 7, 1]


def test_labels_and_the_order_of_recordings_stay() -> None:
    bars = moving_bars(6, seed=1)
    found = noisy_samples(bars, parse_noise("drop=0.5"), SENSOR)
    assert torch.equal(found.labels, bars.labels)
    assert len(found) == 6


def test_an_empty_recording_stays_empty() -> None:
    empty = Recordings.of(torch.empty(0, 4, dtype=torch.int64), torch.tensor([0, 0]), torch.tensor([0]))
    for kind in ("drop", "background", "jitter", "flip"):
        assert len(noisy(empty, f"{kind}=0.3")) == 0


@pytest.mark.parametrize(
    ("samples", "text", "says"),
    [(grey(1), "drop=0.1", "drop is for events"), (events(3), "gaussian=0.1", "gaussian is for images")],
)
def test_noise_of_another_kind_of_input_is_an_error(samples: Images | Recordings, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        noisy_samples(samples, parse_noise(text), SENSOR)
