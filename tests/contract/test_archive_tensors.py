"""The tensors of an archive, read without torch, and archives that want to do more than hold tensors."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.archive_tensors import UnreadableTensors, read_tensors
from contract.card import ImageEncoder
from contract.store import Store
from tests.event_engine.differential import make_case

SHIPPED = Store(Path(__file__).parents[2] / "model_store")
WEIGHTS = np.arange(6, dtype="<f4").tobytes()
ROOT, TENSOR = b"c__torch__\nNet\n)\x81", b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
END = b"sb."


def tensor(offset: int = 0, shape: bytes = b"K\x02K\x03\x86", strides: bytes = b"K\x03K\x01\x86") -> bytes:
    """Instructions for one tensor of the storage of six numbers."""
    number = b"J" + struct.pack("<i", offset)
    return TENSOR + b"(" + STORAGE + number + shape + strides + b"\x89ccollections\nOrderedDict\n)RtR"


def archive(attribute: bytes, weights: bytes = WEIGHTS, description: bytes | None = None) -> bytes:
    """An archive of a module with one attribute, `w`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("net/data.pkl", description or b"\x80\x02" + ROOT + b"}X\x01\x00\x00\x00w" + attribute + END)
        members.writestr("net/data/0", weights)
    return file.getvalue()


@pytest.mark.parametrize("name", ["digits-stl", "nmnist-stl"])
def test_the_tensors_are_those_that_torch_reads(name: str) -> None:
    path = SHIPPED.newest(name)
    expected = torch.jit.load(str(path)).state_dict()
    found = read_tensors(path.read_bytes())
    assert list(found) == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value.numpy(), strict=True)


def test_modules_inside_of_modules_have_the_names_of_their_place() -> None:
    module = make_case("3R3-4R3-VOTE2", ImageEncoder(coding="direct", timesteps=2), shape=(1, 4, 4)).module
    file = io.BytesIO()
    torch.jit.save(module, file)
    assert read_tensors(file.getvalue()).keys() == module.state_dict().keys()


def test_the_instructions_of_the_tests_below_describe_a_tensor() -> None:
    assert read_tensors(archive(tensor()))["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_tensors(archive(tensor(2, b"K\x03\x85", b"K\x01\x85")))["w"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        (tensor(1), "outside"),
        (tensor(-1), "outside"),
        (tensor(0, b"K\x02K\x03\x86".replace(b"K\x02", b"J\xfe\xff\xff\xff")), "outside"),
        (tensor(0, strides=b"K\x01K\x02\x86"), "not stored in order"),
        (tensor(0, b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"), "outside"),
        (b"cos\nsystem\nX\x04\x00\x00\x00true\x85R", "calls os system"),
        (b"cos\nsystem\n(X\x04\x00\x00\x00truetR", "calls os system"),
        (b"(X\x04\x00\x00\x00trueios\nsystem\n", "with INST"),
        (b"cos\nsystem\n}\x92", "with NEWOBJ_EX"),
        (b"\x82\x01", "with EXT1"),
        (b"X\x01\x00\x00\x00aX\x01\x00\x00\x00b\x93", "with STACK_GLOBAL"),
    ],
)
def test_what_is_not_a_tensor_inside_of_its_bytes_is_refused(attribute: bytes, reason: str) -> None:
    with pytest.raises(UnreadableTensors, match=reason):
        read_tensors(archive(attribute))


def test_bytes_of_another_size_than_described_are_refused() -> None:
    with pytest.raises(UnreadableTensors, match="w has another size than its bytes"):
        read_tensors(archive(tensor(), weights=WEIGHTS[:-4]))


def test_a_module_inside_of_itself_is_refused() -> None:
    around = b"\x80\x02" + ROOT + b"q\x00}X\x01\x00\x00\x00wh\x00" + END
    with pytest.raises(UnreadableTensors, match="deep"):
        read_tensors(archive(b"", description=around))


def test_modules_that_share_their_parts_many_times_over_are_refused() -> None:
    """Thirty modules, each of which holds the next one twice: 2^30 tensors in a kilobyte."""
    level = tensor()
    for _ in range(30):
        inner = b"X\x01\x00\x00\x00a" + level + b"q\x00X\x01\x00\x00\x00bh\x00"
        level = b"c__torch__\nNet\n)\x81}(" + inner + b"ub"
    with pytest.raises(UnreadableTensors, match="more than 10000 tensors"):
        read_tensors(archive(level))


def test_a_description_of_more_than_a_megabyte_is_not_read() -> None:
    with pytest.raises(UnreadableTensors, match="more than 1000000 bytes"):
        read_tensors(archive(b"", description=b"N" * 1_000_001))


@pytest.mark.parametrize("cut", [1, 20, 40, 60])
def test_a_description_that_ends_too_early_is_refused(cut: int) -> None:
    whole = b"\x80\x02" + ROOT + b"}X\x01\x00\x00\x00w" + tensor() + END
    with pytest.raises(UnreadableTensors, match="damaged"):
        read_tensors(archive(b"", description=whole[:-cut]))


def test_what_python_pickles_is_not_a_module() -> None:
    with pytest.raises(UnreadableTensors):
        read_tensors(archive(b"", description=pickle.dumps({"w": 1}, protocol=2)))
