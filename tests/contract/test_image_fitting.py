"""Pictures that are not like the training data: their polarity, their paper, and the part that a model sees."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from contract.card import InputSpec
from contract.image_fitting import ImageFitting, is_dark_on_bright
from contract.images import Fitted, read_image, read_pixels
from tests.drawn_photos import drawn_photo

MODEL = InputSpec(kind="image", channels=1, height=28, width=28)
AUTO = ImageFitting(invert="auto", background="auto")


def fitted(planes: Any, **options: Any) -> Fitted:
    return read_pixels(np.asarray(planes).tolist(), MODEL, max_pixels=10**7, fitting=ImageFitting(**options))


def page(height: int, width: int, paper: int = 220, ink: int = 30) -> NDArray[np.uint8]:
    """A page with a line of ink across its upper left quarter."""
    picture = np.full((height, width), paper, np.uint8)
    picture[height // 8 : height // 3, width // 4 : width // 4 + max(height // 20, 2)] = ink
    return picture


def test_dark_on_bright_is_told_from_bright_on_dark_in_any_light() -> None:
    photos = [(drawn_photo(digit, 3, chalk=chalk), chalk) for digit in (1, 4, 8) for chalk in (False, True)]
    for data, chalk in photos:
        gray = np.asarray(Image.open(BytesIO(data)).convert("L"))[np.newaxis]
        assert is_dark_on_bright(gray) is not chalk
    for image in load_digits().images[:50]:
        pixels = (image * 15).astype(np.uint8)[np.newaxis]
        assert not is_dark_on_bright(pixels)
        assert is_dark_on_bright(255 - pixels)


@pytest.mark.parametrize(("invert", "level"), [("true", 235), ("false", 20), ("auto", 20)])
def test_an_empty_page_is_inverted_only_if_it_is_bright_or_asked_for(invert: Any, level: int) -> None:
    found = fitted(np.full((40, 40), 20), invert=invert)
    assert set(found.pixels.ravel()) == {level}
    assert found.done.inverted is (level == 235)
    assert fitted(np.full((40, 40), 230), invert="auto").done.inverted


def test_pad_keeps_the_aspect_ratio_with_borders_in_the_colour_of_the_edge() -> None:
    found = fitted(page(56, 112), fit="pad")
    assert found.done.padded_to == (112, 112)
    assert found.resized_from == (56, 112)
    assert set(found.pixels[0, :6].ravel()) == {220}
    assert found.pixels[0, 8:12].min() < 160


def test_crop_takes_the_middle_in_the_models_aspect_ratio() -> None:
    picture = np.zeros((30, 90), np.uint8)
    picture[:, 30:60] = 255
    found = fitted(picture, fit="crop")
    assert found.done.window == (30, 0, 30, 30)
    assert found.pixels.min() == 255


def test_without_its_paper_a_page_is_ink_in_the_middle_of_black() -> None:
    found = fitted(page(300, 400), invert="auto", background="auto")
    assert found.done.inverted
    assert found.done.background is not None
    assert abs(found.done.background - 220) < 6
    x, y, width, height = found.done.window or (0, 0, 0, 0)
    assert width == height
    assert abs(x + width / 2 - 107) < 4, "the line is in the middle"
    assert abs(y + height / 2 - 68) < 4
    rows = np.flatnonzero(found.pixels[0].max(axis=1) > 128)
    assert (rows[0], rows[-1]) == (4, 23), "it takes 20 of 28 rows, as in MNIST"
    assert found.pixels[0, :3].max() == 0


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_a_page_without_ink_is_black(fit: Any) -> None:
    noise = np.random.default_rng(0).normal(200, 4, (60, 80)).astype(np.uint8)
    assert np.mean(fitted(noise, invert="auto", background="auto", fit=fit).pixels > 0) < 0.02


def test_colours_lose_their_paper_in_each_channel() -> None:
    colour = InputSpec(kind="image", channels=3, height=28, width=28)
    photo = read_image(drawn_photo(3, 0), colour, max_pixels=10**7, fitting=AUTO)
    assert photo.pixels.shape == (3, 28, 28)
    assert photo.pixels[:, 0].max() == 0
    assert photo.pixels.max() > 200


def test_the_window_of_a_reduced_photo_is_told_in_its_own_pixels() -> None:
    buffer = BytesIO()
    Image.fromarray(page(1600, 2000)).save(buffer, "JPEG")
    whole = read_image(buffer.getvalue(), MODEL, max_pixels=10**7, fitting=AUTO)
    reduced = read_image(buffer.getvalue(), MODEL, max_pixels=10**6, fitting=AUTO, reduced_above=10**6)
    np.testing.assert_allclose(reduced.done.window or (), whole.done.window or (1,), atol=25)
    assert reduced.resized_from == (1600, 2000)
