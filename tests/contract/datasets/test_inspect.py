"""What a data set holds, and whether it fits a model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.card import Card, read_card
from contract.datasets.inspect import Summary, check_fits
from contract.errors import ArchiveTooLarge, InvalidDataset
from tests.contract.datasets.archives import (
    IMAGES,
    RECORDING,
    RECORDINGS,
    image,
    look,
    packed,
    recording,
    refused,
    saved,
)


def test_folders_of_images_are_classes(tmp_path: Path) -> None:
    summary = look(packed(tmp_path / "pets.zip", IMAGES))

    assert summary == Summary(kind="image", samples=6, classes={"cat": 3, "dog": 3})


def test_one_folder_around_all_and_what_macos_adds_are_passed_over(tmp_path: Path) -> None:
    members = {f"pets/{name}": data for name, data in IMAGES.items()}
    other = {"pets/": b"", "pets/cat/": b"", "__MACOSX/pets/cat/._0.png": b"?", "pets/.DS_Store": b"?", ".git/x": b""}

    assert look(packed(tmp_path / "pets.zip", members | other)).classes == {"cat": 3, "dog": 3}


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF"])
def test_every_image_format_of_the_predict_route_is_taken(tmp_path: Path, format: str) -> None:
    members = {name: image(format=format) for name in IMAGES}

    assert look(packed(tmp_path / "pets.zip", members)).kind == "image"


def test_recordings_tell_how_much_of_a_sensor_they_take_up(tmp_path: Path) -> None:
    members = RECORDINGS | {"left/far.bin": recording((1, 33, 20, 1)), "right/text.csv": b"t,x,y,p\n1,2,3,1\n"}
    summary = look(packed(tmp_path / "bars.zip", members))

    assert summary == Summary(kind="events", samples=6, classes={"left": 3, "right": 3}, extent=(34, 21))


def test_an_image_under_the_name_of_a_recording_is_an_image(tmp_path: Path) -> None:
    members = {name.replace(".png", ".bin"): data for name, data in IMAGES.items()}

    assert look(packed(tmp_path / "pets.zip", members)).kind == "image"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"readme.txt": b"x"}, "'readme.txt' is not in a class folder"),
        ({"cat/deep/er/a.png": image()}, "'cat/deep/er/a.png' is not in a class folder"),
        ({"cat/notes.txt": b"hello"}, "'cat/notes.txt': neither an image nor an event recording"),
        ({"cat/empty.png": b""}, "'cat/empty.png': the file is empty"),
        ({"cat/half.png": image()[:-40]}, "'cat/half.png': the PNG image is truncated or broken"),
        ({"cat/film.csv": b"t,x,y,p\n1,2,3,1\n"}, "'cat/0.png' is an image and 'cat/film.csv' a recording"),
        ({"cat/half.bin": RECORDING[:-1]}, "'cat/half.bin': an nmnist recording has 5 bytes per event"),
        ({"cow/a.png": image()}, "class 'cow' has only one sample; at least 2 are needed"),
        ({"x" * 101 + "/a.png": image(), "x" * 101 + "/b.png": image()}, "is not a valid label"),
        ({"a\x07/a.png": image(), "a\x07/b.png": image()}, r"'a\x07' is not a valid label"),
    ],
)
def test_members_that_cannot_be_trained_on(tmp_path: Path, members: dict[str, bytes], says: str) -> None:
    assert says in refused(packed(tmp_path / "bad.zip", IMAGES | members))


def test_one_class_only(tmp_path: Path) -> None:
    for around in ("", "pets/"):
        members = {f"{around}cat/{index}.png": image(index) for index in range(3)}
        assert "only one class, 'cat'" in refused(packed(tmp_path / "cats.zip", members))


def test_images_and_recordings_of_too_much(tmp_path: Path) -> None:
    large = {"cat/large.png": image(size=(101, 100))}
    long = {"left/long.bin": recording(*[(t, 1, 1, 0) for t in range(1001)])}

    assert "'cat/large.png': the image has 100 x 101 pixels" in refused(
        packed(tmp_path / "a.zip", IMAGES | large), ArchiveTooLarge
    )
    assert "'left/long.bin': the recording exceeds the limit" in refused(
        packed(tmp_path / "b.zip", RECORDINGS | long), ArchiveTooLarge
    )
    assert "6 samples; the limit is 5" in refused(packed(tmp_path / "c.zip", IMAGES), ArchiveTooLarge, max_samples=5)


def test_more_classes_than_a_model_may_have_are_refused(tmp_path: Path) -> None:
    def labelled(count: int) -> Path:
        names = [f"class {n}" for n in range(count)]
        return saved(tmp_path / "a.npz", x=np.zeros((2 * count, 1, 1), np.uint8), y=np.array(names * 2))

    assert len(look(labelled(1000), max_samples=3000).classes) == 1000
    assert "has 1001 classes; the limit is 1000" in refused(labelled(1001), ArchiveTooLarge, max_samples=3000)


@pytest.fixture
def image_card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-image" / "1" / "model.pt")


@pytest.fixture
def event_card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-events" / "1" / "model.pt")


def misfit(summary: Summary, card: Card, labels: tuple[str, ...] | None = None) -> str:
    with pytest.raises(InvalidDataset) as caught:
        check_fits(summary, card, labels, param="validation_file")
    assert caught.value.param == "validation_file"
    return caught.value.message


def images_of(*labels: str, **fields: Any) -> Summary:
    return Summary(kind="image", samples=2 * len(labels), classes=dict.fromkeys(labels, 2), **fields)


def test_some_of_a_models_classes_are_enough(image_card: Card, event_card: Card) -> None:
    check_fits(images_of("3", "7"), image_card)
    check_fits(images_of("0", "9", class_ids=True, channels=3), image_card)
    labels = dict.fromkeys(event_card.labels, 2)
    check_fits(Summary(kind="events", samples=4, classes=labels, extent=(8, 8)), event_card)


def test_other_classes_need_a_new_output_layer(image_card: Card) -> None:
    pets = images_of("cat", "dog", "3")

    message = misfit(pets, image_card)

    assert "does not have: 'cat', 'dog';" in message
    assert "'labels'" in message
    check_fits(pets, image_card, ("3", "dog", "cat", "cow"))
    assert "does not have: 'cat'" in misfit(pets, image_card, ("3", "dog"))


def test_class_ids_end_with_the_labels(image_card: Card) -> None:
    ids = images_of("0", "10", class_ids=True, channels=1)

    assert "does not have: '10'; its ids are 0 to 9" in misfit(ids, image_card)
    check_fits(ids, image_card, tuple("abcdefghijk"))


def test_the_kind_the_sensor_and_the_channels_must_be_the_models(image_card: Card, event_card: Card) -> None:
    large = Summary(kind="events", samples=4, classes=dict.fromkeys(event_card.labels, 2), extent=(8, 9))

    assert "holds images, but the model takes event recordings" in misfit(images_of("1", "2"), event_card)
    assert "holds event recordings, but the model takes images" in misfit(large, image_card)
    assert "span 8 x 9 pixels, more than the model's sensor of 8 x 8" in misfit(large, event_card)
    assert "those of x ([N, C, H, W]) have 28" in misfit(images_of("1", "2", channels=28), image_card)
