import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.card import Card, InputSpec, read_card
from contract.datasets import zip_archive
from contract.datasets.inspect import Summary, check_fits, inspect
from contract.datasets.layout import Limits
from contract.datasets.load import load_images, load_recordings
from contract.errors import ArchiveTooLarge, InvalidDataset, ServiceError
from contract.events import read_events
from contract.images import read_image, read_pixels
from tests.contract.datasets.archives import IMAGES, LIMITS, RECORDING, RECORDINGS, image, packed, recording, saved

GREY = InputSpec(kind="image", channels=1, height=8, width=8)
SENSOR = InputSpec(kind="events", channels=2, height=8, width=8)


def look(path: Path, **limits: int) -> Summary:
    return inspect(path, path.name, Limits(**vars(LIMITS) | limits))


def refused(path: Path, kind: type[ServiceError] = InvalidDataset, **limits: int) -> str:
    with pytest.raises(kind) as caught:
        look(path, **limits)
    assert type(caught.value) is kind
    assert str(path.parent) not in caught.value.message
    return caught.value.message


# What is taken


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


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, ">i4"])
def test_an_npz_with_class_ids(tmp_path: Path, dtype: Any) -> None:
    x = np.zeros((4, 5, 6), np.uint8)
    summary = look(saved(tmp_path / "set.npz", x=x, y=np.array([0, 3, 3, 0], dtype)))

    assert summary == Summary(kind="image", samples=4, classes={"0": 2, "3": 2}, class_ids=True, channels=1)


def test_an_npz_with_labels(tmp_path: Path) -> None:
    x = np.zeros((4, 3, 5, 6), np.uint8)
    summary = look(saved(tmp_path / "set.npz", x=x, y=np.array(["é", "b", "b", "é"])))

    assert summary == Summary(kind="image", samples=4, classes={"b": 2, "é": 2}, channels=3)


def test_sorted_labels_that_pack_a_thousandfold_are_no_bomb(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 256, (100_000, 8, 8), np.uint8)
    path = saved(tmp_path / "set.npz", x=x, y=np.repeat([0, 1], 50_000))

    assert look(path, max_samples=100_000).samples == 100_000


# What is read


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


# What is refused: the archive


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    for content in (b"", b"PK", b"no archive at all", image()):
        path.write_bytes(content)
        assert "neither a .zip nor an .npz" in refused(path)


def test_an_archive_cut_short_anywhere(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole.zip", IMAGES).read_bytes()
    path = tmp_path / "pets.zip"
    for cut in range(4, len(whole), 97):
        path.write_bytes(whole[:cut])
        assert "broken or cut short" in refused(path)


def test_an_empty_archive(tmp_path: Path) -> None:
    assert "empty" in refused(packed(tmp_path / "none.zip", {"cat/": b"", ".hidden/x": b""}))
    assert "empty" in refused(packed(tmp_path / "none.zip", {}))


def test_a_flipped_bit_in_any_member_names_it(tmp_path: Path) -> None:
    path = packed(tmp_path / "pets.zip", IMAGES, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT", data.index(b"dog/1.png")) + 20] ^= 1
    path.write_bytes(data)

    assert "'dog/1.png' is broken" in refused(path)


@pytest.mark.parametrize(
    "name",
    ["../x.png", "cat/../../x.png", "/etc/x.png", "cat//x.png", "C:/x.png", "c:x.png", "cat\\x.png", "./cat/x.png"],
)
def test_names_that_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    assert f"{name!r} is no name" in refused(packed(tmp_path / "bad.zip", IMAGES | {name: image()}))


def test_a_name_with_nul(tmp_path: Path) -> None:
    path = packed(tmp_path / "bad.zip", IMAGES | {"cat/x.png?.exe": image()})
    path.write_bytes(path.read_bytes().replace(b"x.png?.exe", b"x.png\0.exe"))

    assert r"'cat/x.png\x00.exe' is no name" in refused(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("cat/link.png")
    info.external_attr = (kind | 0o777) << 16
    path = packed(tmp_path / "bad.zip", IMAGES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")

    assert "'cat/link.png' is a link" in refused(path)


def patched(path: Path, member: bytes, offset: int, value: bytes) -> Path:
    """Change the entry of `member` in the archive's directory, `offset` bytes after its start."""
    data = bytearray(path.read_bytes())
    at = data.rindex(member) - 46 + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_encrypted_members(tmp_path: Path, flag: int) -> None:
    path = patched(packed(tmp_path / "bad.zip", IMAGES), b"dog/0.png", 8, struct.pack("<H", flag))

    assert "'dog/0.png' is encrypted" in refused(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(tmp_path: Path, method: int) -> None:
    assert "'cat/0.png' is packed in another way" in refused(packed(tmp_path / "bad.zip", IMAGES, method))


def test_two_members_of_one_name(tmp_path: Path) -> None:
    path = packed(tmp_path / "bad.zip", IMAGES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("cat/1.png", image(7))

    assert "'cat/1.png' is in the archive twice" in refused(path)


def test_a_bomb_by_the_ratio_of_one_member(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.zip", IMAGES | {"cat/bomb.bmp": bytes(20_000_000)})

    assert "'cat/bomb.bmp' unpacks to more than 200 times" in refused(path, ArchiveTooLarge)


def test_a_bomb_of_many_small_members(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.zip", {f"{index % 2}/{index}.bmp": bytes(5_000_000) for index in range(5)})

    assert "the archive unpacks to more than 200 times its size" in refused(path, ArchiveTooLarge)


def test_a_bomb_of_members_that_lie_over_each_other(tmp_path: Path) -> None:
    """One packed member, which the directory lists again and again."""
    member = b"a/" + b"0" * 8
    packed(path := tmp_path / "bomb.zip", {member.decode(): np.random.default_rng(0).bytes(100_000) + bytes(6_000_000)})
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry = data[start : data.index(b"PK\5\6")]
    entries = b"".join(entry.replace(member, f"a/{index:08}".encode()) for index in range(100))
    path.write_bytes(
        data[:start] + entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 100, 100, len(entries), start, 0)
    )

    assert "the archive unpacks to more than 200 times its size" in refused(
        path, ArchiveTooLarge, max_unpacked_bytes=10**9
    )


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = packed(tmp_path / "large.zip", IMAGES)

    assert "'dog/2.png' the archive unpacks to more than" in refused(
        path, ArchiveTooLarge, max_unpacked_bytes=sum(map(len, IMAGES.values())) - 1
    )


def test_a_member_that_is_too_large(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(1_000_000)
    path = packed(tmp_path / "large.zip", IMAGES | {"cat/large.png": noise * 68})

    assert "'cat/large.png' has 68000000 bytes, more than" in refused(path, ArchiveTooLarge)


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "MAX_MEMBERS", 5)

    assert "6 members, more than the 5" in refused(packed(tmp_path / "many.zip", IMAGES), ArchiveTooLarge)


def test_a_directory_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "many.zip", IMAGES)
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry = data[start : data.index(b"PK\1\2", start + 1)]
    count = zip_archive.MAX_DIRECTORY_BYTES // len(entry) + 1
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, count * len(entry), start, 0)
    path.write_bytes(data[:start] + entry * count + end)

    assert "the archive's directory has" in refused(path, ArchiveTooLarge)


def test_a_size_that_lies_cannot_unpack_to_more(tmp_path: Path) -> None:
    path = packed(tmp_path / "bad.zip", {"cat/0.png": bytes(10_000_000)} | IMAGES)
    patched(path, b"cat/0.png", 24, struct.pack("<I", 1000))

    assert "'cat/0.png' is broken" in refused(path)


def test_a_size_that_promises_too_much(tmp_path: Path) -> None:
    path = patched(packed(tmp_path / "bad.zip", IMAGES), b"cat/0.png", 24, struct.pack("<I", 1_000_000))

    assert "'cat/0.png' is broken: it ends after" in refused(path)


def test_archives_in_the_archive_are_not_opened(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", IMAGES).read_bytes()

    assert "'cat/a.zip': the .npz archive must hold the arrays t, x, y and p" in refused(
        packed(
            tmp_path / "nested.zip",
            {"cat/a.zip": inner, "cat/b.zip": inner, "dog/a.zip": inner, "dog/b.zip": inner},
        )
    )


def test_names_are_quoted_escaped_and_cut(tmp_path: Path) -> None:
    message = refused(packed(tmp_path / "bad.zip", {"cat/\n\x1b" + "x" * 500: b"?", **IMAGES}))

    assert r"'cat/\n\x1bxxx" in message
    assert len(message) < 400


# What is refused: classes and members


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"readme.txt": b"x"}, "'readme.txt' does not lie in a class folder"),
        ({"cat/deep/er/a.png": image()}, "'cat/deep/er/a.png' does not lie in a class folder"),
        ({"cat/notes.txt": b"hello"}, "'cat/notes.txt': neither an image nor an event recording"),
        ({"cat/empty.png": b""}, "'cat/empty.png': the file is empty"),
        ({"cat/half.png": image()[:-40]}, "'cat/half.png': the PNG image is truncated or broken"),
        ({"cat/film.csv": b"t,x,y,p\n1,2,3,1\n"}, "'cat/0.png' is an image and 'cat/film.csv' a recording"),
        ({"cat/half.bin": RECORDING[:-1]}, "'cat/half.bin': an nmnist recording is 5 bytes an event"),
        ({"cow/a.png": image()}, "class 'cow' has one sample only; at least 2 are needed"),
        ({"x" * 101 + "/a.png": image(), "x" * 101 + "/b.png": image()}, "is no label"),
        ({"a\x07/a.png": image(), "a\x07/b.png": image()}, r"'a\x07' is no label"),
    ],
)
def test_members_that_cannot_be_trained_on(tmp_path: Path, members: dict[str, bytes], says: str) -> None:
    assert says in refused(packed(tmp_path / "bad.zip", IMAGES | members))


def test_one_class_only(tmp_path: Path) -> None:
    for around in ("", "pets/"):
        members = {f"{around}cat/{index}.png": image(index) for index in range(3)}
        assert "one class only, 'cat'" in refused(packed(tmp_path / "cats.zip", members))


def test_images_and_recordings_of_too_much(tmp_path: Path) -> None:
    large = {"cat/large.png": image(size=(101, 100))}
    long = {"left/long.bin": recording(*[(t, 1, 1, 0) for t in range(1001)])}

    assert "'cat/large.png': the image has 100 x 101 pixels" in refused(
        packed(tmp_path / "a.zip", IMAGES | large), ArchiveTooLarge
    )
    assert "'left/long.bin': the recording holds more" in refused(
        packed(tmp_path / "b.zip", RECORDINGS | long), ArchiveTooLarge
    )
    assert "6 samples, more than the 5" in refused(packed(tmp_path / "c.zip", IMAGES), ArchiveTooLarge, max_samples=5)


# What is refused: arrays

X = np.zeros((4, 8, 8), np.uint8)
Y = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": X}, "it lacks y"),
        ({"y": Y}, "it lacks x"),
        ({"x": X.astype(np.float32), "y": Y}, "x must be uint8 [N, H, W] or [N, C, H, W], it is float32 [4, 8, 8]"),
        ({"x": X[0], "y": Y}, "x must be uint8"),
        ({"x": X[None, None], "y": Y}, "x must be uint8"),
        ({"x": X[:, :0], "y": Y}, "x holds no pixels"),
        ({"x": X[:0], "y": Y[:0]}, "x holds no pixels"),
        ({"x": X, "y": Y[:3]}, "y must have one value for each of the 4 images of x, its shape is [3]"),
        ({"x": X, "y": Y[None]}, "y must have one value"),
        ({"x": X, "y": Y.astype(float)}, "y must be whole numbers"),
        ({"x": X, "y": Y.astype(bool)}, "y must be whole numbers"),
        ({"x": X, "y": Y.astype("S1")}, "y must be whole numbers"),
        ({"x": X, "y": -Y}, "y[1] is -1; class ids are 0 to 9999"),
        ({"x": X, "y": Y * 10_000}, "y[1] is 10000"),
        ({"x": X, "y": Y.astype(np.uint64) * (2**64 - 1)}, "y[1] is 18446744073709551615"),
        ({"x": X, "y": np.array(["a", "", "a", ""])}, "'' is no label"),
        ({"x": X, "y": np.array(["a", "\ud800", "a", "\ud800"])}, r"'\ud800' is no label"),
        ({"x": X, "y": Y * 0}, "one class only, '0'"),
        ({"x": X, "y": np.array([0, 1, 0, 0])}, "class '1' has one sample only"),
    ],
)
def test_arrays_that_cannot_be_trained_on(tmp_path: Path, arrays: dict[str, NDArray[Any]], says: str) -> None:
    assert says in refused(saved(tmp_path / "set.npz", **arrays))


class Trap:
    """Unpickling it would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a member was unpickled",)


@pytest.mark.parametrize("name", ["x", "y"])
def test_nothing_is_unpickled(tmp_path: Path, name: str) -> None:
    objects = np.array([Trap()] * 4, object)
    path = saved(tmp_path / "set.npz", **{"x": X, "y": Y, name: objects})

    assert f"'{name}.npy': a .npy file of Python objects is not read" in refused(path)


def test_arrays_of_too_much(tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz", x=X, y=Y)

    assert "x has 4 images, more than the 3" in refused(path, ArchiveTooLarge, max_samples=3)
    assert "8 x 8 pixels" in refused(path, ArchiveTooLarge, max_image_pixels=63)


def test_a_broken_array(tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz", x=np.random.default_rng(0).integers(0, 256, (4, 80, 80), np.uint8), y=Y)
    data = bytearray(path.read_bytes())
    data[data.index(b"x.npy") + 2000] ^= 0xFF
    path.write_bytes(data)

    assert "'x.npy' is broken" in refused(path)


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)})
    path = packed(tmp_path / "set.npz", {"x.npy": stream.getvalue() + bytes(100), "y.npy": b""})

    assert "'x.npy': the header of the .npy file says [1000000, 1000, 1000]" in refused(path)


# What fits a model


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

    assert "holds images, and the model takes event recordings" in misfit(images_of("1", "2"), event_card)
    assert "holds event recordings, and the model takes images" in misfit(large, image_card)
    assert "take up 8 x 9 pixels, more than the model's sensor, 8 x 8" in misfit(large, event_card)
    assert "those of x ([N, C, H, W]) have 28" in misfit(images_of("1", "2", channels=28), image_card)
