from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contract.card import InputSpec
from contract.images import read_image
from training.data import DataError, Images, load_dataset


def save(path: Path, values: object, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).convert(mode).save(path)


def cats_and_dogs(root: Path) -> Path:
    save(root / "train" / "dog" / "a.png", [[10, 20]])
    save(root / "train" / "cat" / "b.png", [[30, 40]])
    save(root / "train" / "cat" / "a.bmp", [[50, 60]])
    save(root / "test" / "dog" / "x.PNG", [[70, 80]])
    return root


def test_class_folders_become_labels_and_files_samples(tmp_path: Path) -> None:
    root = cats_and_dogs(tmp_path / "pets")
    (root / "train" / "cat" / "readme.txt").write_text("not an image")
    (root / "train" / ".cache").mkdir()

    data = load_dataset("folder", root, image_shape=(1, 1, 2))

    assert isinstance(data.train, Images)
    assert isinstance(data.test, Images)
    assert data.name == "folder"
    assert data.labels == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.train.pixels.flatten(1).tolist() == [[50, 60], [30, 40], [10, 20]]
    assert data.test.labels.tolist() == [1]
    assert data.attribution is None


def test_images_get_the_channels_and_the_size_asked_for(tmp_path: Path) -> None:
    data = load_dataset("folder", cats_and_dogs(tmp_path), image_shape=(3, 4, 6))

    assert isinstance(data.train, Images)
    assert data.train.pixels.shape == (3, 3, 4, 6)
    assert data.input.shape == (3, 4, 6)
    assert (data.train.pixels[:, 0] == data.train.pixels[:, 2]).all()


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def turned_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(noise(9, 5, 3)), "PNG", exif=exif)


FILES = {
    "grey": encoded(Image.fromarray(noise(11, 7)), "PNG"),
    "rgb": encoded(Image.fromarray(noise(11, 7, 3)), "PNG"),
    "jpeg": encoded(Image.fromarray(noise(16, 16, 3)), "JPEG"),
    "cmyk": encoded(Image.fromarray(noise(16, 16, 3)).convert("CMYK"), "JPEG"),
    "palette": encoded(Image.fromarray(noise(11, 7, 3)).quantize(16), "PNG"),
    "transparent": encoded(Image.fromarray(noise(11, 7, 4)), "PNG"),
    "transparent grey": encoded(Image.fromarray(noise(11, 7, 2)), "PNG"),
    "one bit": encoded(Image.fromarray(noise(11, 7)).convert("1"), "PNG"),
    "sixteen bits": encoded(Image.fromarray(noise(11, 7).astype(np.uint16) * 257 + 128), "PNG"),
    "turned": turned_by_exif(),
}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 20, 13), (3, 11, 7)])
@pytest.mark.parametrize("kind", list(FILES))
def test_training_sees_the_pixels_that_the_service_makes_of_the_same_file(
    tmp_path: Path, kind: str, shape: tuple[int, int, int]
) -> None:
    root = cats_and_dogs(tmp_path)
    (root / "train" / "cat" / "a.bmp").write_bytes(FILES[kind])
    spec = InputSpec(kind="image", channels=shape[0], height=shape[1], width=shape[2])

    data = load_dataset("folder", root, image_shape=shape)

    assert isinstance(data.train, Images)
    pixels = data.train.pixels[0].numpy()
    assert pixels.std() > 0
    assert np.array_equal(pixels, read_image(FILES[kind], spec, max_pixels=1_000_000).pixels)


@pytest.mark.parametrize("content", [b"", b"no image", FILES["rgb"][:-40], FILES["jpeg"][:30]])
def test_a_broken_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    root = cats_and_dogs(tmp_path)
    (root / "train" / "dog" / "broken.png").write_bytes(content)

    with pytest.raises(DataError, match=r"train/dog/broken\.png: .*(not an image|truncated or broken)"):
        load_dataset("folder", root, image_shape=(1, 1, 2))


def test_a_class_that_is_only_in_the_test_part_is_refused(tmp_path: Path) -> None:
    root = cats_and_dogs(tmp_path)
    save(root / "test" / "cow" / "x.png", [[1, 2]])

    with pytest.raises(DataError, match=r"classes \['cow'\] are in test/ but not in train/"):
        load_dataset("folder", root, image_shape=(1, 1, 2))


def test_a_class_without_images_to_train_on_is_refused(tmp_path: Path) -> None:
    root = cats_and_dogs(tmp_path)
    (root / "train" / "cow").mkdir()

    with pytest.raises(DataError, match="train/cow: there is no image in it"):
        load_dataset("folder", root, image_shape=(1, 1, 2))


def test_an_absent_part_is_told(tmp_path: Path) -> None:
    save(tmp_path / "train" / "cat" / "a.png", [[1, 2]])

    with pytest.raises(DataError, match="test: looked for a folder with one folder of images per class"):
        load_dataset("folder", tmp_path, image_shape=(1, 1, 2))


def test_only_grey_and_colour_images_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 or 3 channels, not 2"):
        load_dataset("folder", cats_and_dogs(tmp_path), image_shape=(2, 1, 2))
