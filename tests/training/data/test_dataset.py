from pathlib import Path

import pytest
import torch

from contract.card import InputSpec
from training.data import DataError, Dataset, Images, Recordings, load_dataset, split_train, stratified


def images(labels: list[int]) -> Images:
    pixels = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return Images(pixels, torch.tensor(labels, dtype=torch.int64))


def recordings() -> Recordings:
    """Three recordings of 2, 0 and 3 events, told apart by x."""
    x = torch.tensor([10, 11, 30, 31, 32])
    events = torch.stack([torch.tensor([0, 5, 1, 1, 9]), x, x + 100, torch.tensor([0, 1, 1, 0, 1])], dim=1)
    return Recordings.of(events, torch.tensor([0, 2, 2, 5]), torch.tensor([4, 5, 6]))


def test_a_subset_of_images_keeps_the_order_asked_for() -> None:
    chosen = images([7, 8, 9]).subset(torch.tensor([2, 0]))

    assert len(chosen) == 2
    assert chosen.labels.tolist() == [9, 7]
    assert chosen.pixels[:, 0, 0, 0].tolist() == [2, 0]


def test_a_subset_of_recordings_moves_whole_recordings() -> None:
    chosen = recordings().subset(torch.tensor([2, 1, 0, 2]))

    assert chosen.labels.tolist() == [6, 5, 4, 6]
    assert chosen.offsets.tolist() == [0, 3, 3, 5, 8]
    assert chosen.unpack()[:, 1].tolist() == [30, 31, 32, 10, 11, 30, 31, 32]
    assert torch.equal(chosen.unpack()[3:5], recordings().unpack()[:2])


def test_an_empty_subset_is_empty() -> None:
    nothing = torch.empty(0, dtype=torch.int64)

    assert len(images([1, 2]).subset(nothing)) == 0
    assert len(recordings().subset(nothing)) == 0


@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        (torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.uint8)),
    ],
)
def test_images_of_the_wrong_kind_are_refused(pixels: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(DataError, match="must be"):
        Images(pixels, labels)


@pytest.mark.parametrize("offsets", [[0, 2, 4], [1, 2, 5], [0, 6, 5]])
def test_offsets_that_do_not_cover_the_events_are_refused(offsets: list[int]) -> None:
    with pytest.raises(DataError, match="offsets must rise from 0 to the number of events, 5"):
        Recordings.of(recordings().unpack(), torch.tensor(offsets), torch.tensor([0, 1]))


def test_a_class_without_a_name_is_refused() -> None:
    spec = InputSpec(kind="image", channels=1, height=2, width=2)

    with pytest.raises(DataError, match="the test part has class ids 0 to 2, but 2 classes"):
        Dataset("x", ("a", "b"), spec, images([0, 1]), images([0, 2]))


def test_an_empty_part_is_refused() -> None:
    spec = InputSpec(kind="image", channels=1, height=2, width=2)

    with pytest.raises(DataError, match="the train part holds no sample"):
        Dataset("x", ("a", "b"), spec, images([]), images([0]))


def test_images_of_another_size_than_the_input_are_refused() -> None:
    spec = InputSpec(kind="image", channels=1, height=3, width=2)

    with pytest.raises(DataError, match=r"the train images are \[1, 2, 2\], not \(1, 3, 2\)"):
        Dataset("x", ("a", "b"), spec, images([0, 1]), images([0]))


def test_each_class_keeps_its_share_in_both_parts() -> None:
    labels = torch.tensor([0] * 80 + [1] * 20)

    train, validation = split_train(labels, 0.25, seed=3)

    assert labels[validation].bincount().tolist() == [20, 5]
    assert torch.cat([train, validation]).sort().values.tolist() == list(range(100))


def test_a_seed_gives_its_split_again_and_another_seed_another() -> None:
    labels = torch.arange(200) % 4

    first, again, other = (split_train(labels, 0.1, seed)[1].tolist() for seed in (1, 1, 2))

    assert first == again != other


def test_a_fraction_of_zero_leaves_everything_to_train_on() -> None:
    train, validation = split_train(torch.tensor([0, 1, 1]), 0, seed=0)

    assert train.tolist() == [0, 1, 2]
    assert len(validation) == 0


@pytest.mark.parametrize(("labels", "fraction"), [([0, 0, 0, 1], 0.5), ([0, 0, 1, 1], 1.5), ([0, 1], -0.1)])
def test_a_split_that_cannot_be_made_is_refused(labels: list[int], fraction: float) -> None:
    with pytest.raises(DataError, match="cannot put"):
        split_train(torch.tensor(labels), fraction, seed=0)


def test_the_digits_are_scaled_to_eight_bits_and_always_cut_alike() -> None:
    digits, again = load_dataset("digits"), load_dataset("digits")

    assert isinstance(digits.train, Images)
    assert isinstance(digits.test, Images)
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.input.shape == (1, 8, 8)
    assert set(digits.train.pixels.flatten().tolist()) == {round(value * 255 / 16) for value in range(17)}
    assert min(digits.test.labels.bincount().tolist()) == 35
    assert torch.equal(digits.test.labels, again.test.labels)
    # The first digits of the set are 0, 1, 2, ...: one must be found with its ink in place.
    first_zero = torch.tensor([0, 0, 5, 13, 9, 1, 0, 0])
    rows = torch.cat([digits.train.pixels, digits.test.pixels])[:, 0, 0].double()
    assert ((rows - first_zero * 255 / 16).abs() <= 0.5).all(dim=1).any()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="no data set 'cifar'; known are digits, mnist"):
        load_dataset("cifar")


def test_a_folder_needs_the_shape_of_its_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="shape"):
        load_dataset("folder", tmp_path)


def test_a_stratified_sample_of_a_sorted_data_set_has_every_class() -> None:
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    chosen = stratified(labels, 50, seed=3)
    assert torch.equal(chosen, chosen.unique())  # rising, none twice
    assert torch.bincount(labels[chosen]).tolist() == [30, 15, 5]
    assert torch.equal(chosen, stratified(labels, 50, seed=3))
    assert not torch.equal(chosen, stratified(labels, 50, seed=4))


@pytest.mark.parametrize("count", [6, 7, 1000])
def test_a_stratified_sample_is_never_larger_than_the_data_set(count: int) -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    assert len(stratified(labels, count, seed=0)) == min(count, 7)
