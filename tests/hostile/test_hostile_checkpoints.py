"""Archives that are broken, bombs, false or pickles: all are refused, and nothing in them is run."""

import io
import json
import os
import pickle
import re
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from contract.card import CARD_FILE, CardError, read_card
from contract.checkpoint import CheckpointError
from service.engine.device import CPU
from service.engine.interface import ImageSample
from service.engine.torchscript import TorchScriptEngine
from tests.hostile.refusals import check_shows_no_inside
from tests.tiny import rewritten

SAMPLES = [ImageSample(np.arange(64, dtype=np.uint8).reshape(1, 8, 8), seed) for seed in range(3)]
MARK = "a pickle was run"


class Malicious:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def check_is_safe(message: str) -> None:
    """A refusal shows nothing of the inside; the words of a network that raised have no stack and no path."""
    ours, _, reason = message.partition("the network does not run: ")
    check_shows_no_inside(ours)
    assert not re.search(r"Traceback|File \"|site-packages|/tmp|/usr|/home|object at 0x|<class", reason), reason
    assert len(reason) <= 300


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        TorchScriptEngine.load(path, CPU).warm_up()
    check_is_safe(str(caught.value))
    return str(caught.value)


def outcome(path: Path) -> list[bytes] | None:
    """What the checkpoint answers, None where it is refused."""
    try:
        checkpoint = TorchScriptEngine.load(path, CPU)
        checkpoint.warm_up()
    except CheckpointError as error:
        check_is_safe(str(error))
        return None
    return [activity.scores.tobytes() + activity.spikes.tobytes() for activity in checkpoint.run(SAMPLES)]


def test_a_truncated_checkpoint_is_refused(archive: Path) -> None:
    data = archive.read_bytes()
    for length in {
        0,
        1,
        2,
        3,
        4,
        22,
        len(data) - 1,
        len(data) - 22,
        *np.random.default_rng(1).integers(5, len(data), 60).tolist(),
    }:
        archive.write_bytes(data[:length])
        assert refusal(archive)
        with pytest.raises(CardError):
            read_card(archive)


def contents(data: bytes) -> list[range]:
    """Where in the archive the bytes of its members lie."""
    found = []
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        for member in opened.infolist():
            name, extra = struct.unpack_from("<HH", data, member.header_offset + 26)
            start = member.header_offset + 30 + name + extra
            found.append(range(start, start + member.compress_size))
    return found


def test_a_flipped_bit_is_refused_or_changes_nothing(archive: Path) -> None:
    """Anywhere in a member it is refused; elsewhere in the file it may be one that means nothing (dates, padding)."""
    data = archive.read_bytes()
    expected = outcome(archive)
    rng = np.random.default_rng(2)
    members = contents(data)
    inside = [place for member in members if len(member) for place in rng.choice(np.array(member), 3)]
    directory = data.index(b"PK\x01\x02")
    outside = [*range(0, 60, 3), *rng.integers(directory, len(data), 80)]
    for place in [*inside, *outside]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        archive.write_bytes(damaged)
        found = outcome(archive)
        assert found is None or (found == expected and not any(place in member for member in members)), place
        try:
            read_card(archive)
        except CardError as error:
            check_shows_no_inside(str(error))


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("model/data/bomb", bytes(65_000_000))


def card_bomb(path: Path) -> None:
    rewritten(path, lambda name, data: None if name.endswith(CARD_FILE) else data)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(f"model/extra/{CARD_FILE}", b"[" * 60_000_000)


def overlapping(path: Path) -> None:
    """Thousands of members that all name the same stored bytes."""
    stream = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(stream, "a") as opened:
        opened.writestr("model/data/long", bytes(1_000_000))
        member = opened.getinfo("model/data/long")
        for number in range(5000):
            again = zipfile.ZipInfo(f"model/data/{number:05}")
            for name in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
                setattr(again, name, getattr(member, name))
            opened.filelist.append(again)
    path.write_bytes(stream.getvalue())


@pytest.mark.parametrize("make", [bomb, card_bomb, overlapping])
def test_a_zip_bomb_is_refused(archive: Path, make: Callable[[Path], None]) -> None:
    make(archive)
    assert archive.stat().st_size < 4_000_000
    assert "bytes" in refusal(archive)


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl"])
def test_a_pickle_in_the_archive_is_not_run(archive: Path, tmp_path: Path, member: str) -> None:
    mark = tmp_path / MARK
    evil = pickle.dumps(Malicious(mark), protocol=2)
    replaced = []

    def change(name: str, data: bytes) -> bytes:
        if name.endswith(f"/{member}"):
            replaced.append(name)
            return evil
        return data

    rewritten(archive, change)
    assert replaced
    assert "does not hold a scripted network" in refusal(archive)
    assert not mark.exists()
    pickle.loads(evil)
    assert mark.exists()  # it would have


def test_a_pickle_in_place_of_or_beside_the_network_is_not_run(archive: Path, tmp_path: Path) -> None:
    mark = tmp_path / MARK
    evil = Malicious(mark)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("model/extra/evil.pkl", pickle.dumps(evil))
        opened.writestr("model/.data/evil.pkl", pickle.dumps(evil))
    assert outcome(archive)
    card = read_card(archive).model_dump_json().encode()
    archive.write_bytes(pickle.dumps(evil))
    assert refusal(archive)
    torch.save(evil, archive)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(f"archive/extra/{CARD_FILE}", card)
    assert "does not hold a scripted network" in refusal(archive)
    torch.save(evil, archive, _use_new_zipfile_serialization=False)
    assert refusal(archive)
    assert not mark.exists()


def with_card(archive: Path, path: tuple[str, ...], value: Any) -> None:
    """Set one value of the card."""

    def change(name: str, data: bytes) -> bytes:
        if not name.endswith(CARD_FILE):
            return data
        card = json.loads(data)
        part = card
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        return json.dumps(card).encode()

    rewritten(archive, change)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("input", "height"), 9),
        (("input", "channels"), 3),
        (("input", "width"), 2**40),
        (("input", "height"), -1),
        (("encoder", "timesteps"), 5),
        (("encoder", "timesteps"), 2**70),
        (("labels",), ["0", "1"]),
        (("labels",), ["0"] * 10),
        (("layers",), []),
        (("format_version",), 2),
        (("name",), "../../etc"),
        (("extra",), 1),
        (("input", "kind"), "events"),
        (("created_at",), "never"),
    ],
)
def test_a_card_that_is_not_the_networks_is_refused(archive: Path, path: tuple[str, ...], value: Any) -> None:
    with_card(archive, path, value)
    assert refusal(archive)


@pytest.mark.parametrize("path", [("input", "width"), ("input", "channels"), ("encoder", "timesteps")])
def test_a_card_of_an_input_beyond_any_memory_is_refused_unseen(archive: Path, path: tuple[str, ...]) -> None:
    with_card(archive, path, 10**8)
    with pytest.raises(CardError, match="at most 100000000"):
        read_card(archive)


def test_what_is_no_file_is_refused_at_once(archive: Path, tmp_path: Path) -> None:
    """A pipe that nobody writes to would never end."""
    os.mkfifo(tmp_path / "pipe")

    def read(path: Path, done: list[list[bytes] | None]) -> None:
        done.append(outcome(path))

    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent", tmp_path / "absent" / "model.pt", archive / "below"):
        done: list[list[bytes] | None] = []
        reader = threading.Thread(target=read, args=(path, done), daemon=True)
        reader.start()
        reader.join(20)
        assert done == [None], path


def test_what_was_checked_is_what_is_loaded(
    archive: Path, tiny_store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is written over between the check and the loading, as slowly as can be arranged."""
    expected = outcome(archive)
    real: Any = torch.jit.load

    def overwriting(*arguments: Any, **options: Any) -> Any:
        archive.write_bytes((tiny_store_root / "tiny-direct" / "1" / "model.pt").read_bytes())
        return real(*arguments, **options)

    monkeypatch.setattr(torch.jit, "load", overwriting)
    assert outcome(archive) == expected
    monkeypatch.undo()
    assert outcome(archive) != expected


class Greedy(nn.Module):
    """Wants more memory than there is as soon as it is run."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        wanted = torch.zeros([1 << 50])
        return wanted, wanted, wanted

    @torch.jit.export
    def encode_image(self, images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        return images.float().unsqueeze(0)

    @torch.jit.export
    def encode_events(self, events: torch.Tensor, batch_size: int) -> torch.Tensor:
        return torch.zeros([1])

    @torch.jit.export
    def initial_state(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def step(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_network_that_cannot_run_is_refused(archive: Path) -> None:
    card = read_card(archive).model_dump_json()
    torch.jit.save(torch.jit.script(Greedy()), archive, _extra_files={CARD_FILE: card})
    assert "does not run" in refusal(archive)
