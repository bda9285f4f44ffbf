"""Training sees of a data set what the predict route makes of the same files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.card import InputSpec
from contract.datasets.load import load_images, load_recordings
from contract.errors import InvalidDataset
from contract.events import read_events
from contract.images import read_image, read_pixels
from tests.contract.datasets.archives import IMAGES, LIMITS, RECORDING, RECORDINGS, packed, saved

GREY = InputSpec(kind="image", channels=1, height=8, width=8)
SENSOR = InputSpec(kind="events", channels=2, height=8, width=8)


def test_training_sees_the_pixels_of_the_predict_route(tmp_path: Path) -> None:
    path = packed(tmp_path / "pets.zip", dict(reversed(IMAGES.items())))

    pixels, labels = load_images(path, path.name, GREY, ["dog", "cow", "cat"], LIMITS)

    assert (str(pixels.dtype), pixels.shape) == ("uint8", (6, 1, 8, 8))
    assert labels.tolist() == [2, 2, 2, 0, 0, 0]
    assert labels.dtype == np.int64
    for found, data in zip(pixels, IMAGES.values(), strict=True):
        assert np.array_equal(found, read_image(data, GREY, max_pixels=1000).pixels)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("shape", "channels"), [((6, 8, 8), 1), ((6, 5, 7), 3), ((6, 3, 9, 9), 1), ((6, 3, 8, 8), 3)])
def test_arrays_become_what_the_predict_route_makes_of_their_pixels(
    tmp_path: Path, shape: tuple[int, ...], channels: int, order: Any
) -> None:
    x = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    path = saved(tmp_path / "set.npz", x=np.asarray(x, order=order), y=np.array([1, 0, 1, 0, 2, 2]))
    spec = InputSpec(kind="image", channels=channels, height=8, width=8)

    pixels, labels = load_images(path, path.name, spec, ["a", "b", "c"], LIMITS)

    assert labels.tolist() == [1, 0, 1, 0, 2, 2]
    for found, given in zip(pixels, x, strict=True):
        assert np.array_equal(found, read_pixels(given.tolist(), spec, max_pixels=1000).pixels)


def test_labels_of_an_npz_are_names_even_where_they_look_like_ids(tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.array(["1", "0", "1", "0"]))

    assert load_images(path, path.name, GREY, ["1", "0"], LIMITS)[1].tolist() == [0, 1, 0, 1]


def test_training_sees_the_events_of_the_predict_route(tmp_path: Path) -> None:
    members = {**RECORDINGS, "left/9.csv": b"t,x,y,p\n7,2,3,1\n"}
    path = packed(tmp_path / "bars.zip", members)

    events, offsets, labels = load_recordings(path, path.name, SENSOR, ["right", "left"], LIMITS)

    assert labels.tolist() == [1, 1, 1, 0, 0]
    assert offsets.tolist() == [0, 2, 4, 5, 7, 9]
    assert events[4:5].tolist() == [[7, 2, 3, 1]]
    assert np.array_equal(events[:2], read_events(RECORDING, "nmnist", max_events=10))


def test_a_model_of_one_channel_sees_no_polarity(tmp_path: Path) -> None:
    path = packed(tmp_path / "bars.zip", RECORDINGS)
    spec = SENSOR.model_copy(update={"channels": 1})

    assert load_recordings(path, path.name, spec, ["left", "right"], LIMITS)[0][:, 3].tolist() == [0] * 8


def test_loading_refuses_what_does_not_fit(tmp_path: Path) -> None:
    pets, bars = packed(tmp_path / "pets.zip", IMAGES), packed(tmp_path / "bars.zip", RECORDINGS)
    small = SENSOR.model_copy(update={"width": 3})

    with pytest.raises(InvalidDataset, match="'dog'"):
        load_images(pets, pets.name, GREY, ["cat"], LIMITS)
    with pytest.raises(InvalidDataset, match=r"'left/0\.bin': neither an image|'left/0\.bin': not an image"):
        load_images(bars, bars.name, GREY, ["left", "right"], LIMITS)
    with pytest.raises(InvalidDataset, match=r"'left/0\.bin': event 1 is at x 3"):
        load_recordings(bars, bars.name, small, ["left", "right"], LIMITS)
