from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import FileNotFound, InvalidDataset
from tests.training.jobs import Jobs
from training.data.upload import split_by_class

LABELS = [str(number) for number in range(10)]


@given(st.lists(st.integers(2, 40), min_size=1, max_size=10), st.integers(0, 2**31 - 1))
def test_every_class_is_in_both_parts_and_every_sample_in_one(counts: list[int], seed: int) -> None:
    ids = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    training, validation = split_by_class(ids, seed, LABELS)
    assert torch.equal(torch.cat([training, validation]).sort().values, torch.arange(len(ids)))
    for each, count in enumerate(counts):
        held_out = int((ids[validation] == each).sum())
        assert held_out == max(1, round(0.2 * count))
        assert int((ids[training] == each).sum()) == count - held_out > 0


def test_the_seed_decides_the_parts() -> None:
    ids = torch.arange(100) % 3
    once, again, other = (split_by_class(ids, seed, LABELS)[1] for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_class_of_one_sample_is_named() -> None:
    with pytest.raises(InvalidDataset, match="class '1' has one sample") as raised:
        split_by_class(torch.tensor([0, 0, 1]), 0, LABELS)
    assert raised.value.param == "training_file"


def test_an_upload_becomes_the_two_parts(tiny_store_root: Path, tmp_path: Path) -> None:
    jobs = Jobs(tiny_store_root, tmp_path)
    training, validation = jobs.parts(jobs.create(training_file=jobs.turned_digits(200)))
    assert len(training) + len(validation) == 200
    assert set(validation.labels.tolist()) == set(range(10))


def test_a_deleted_upload_is_named(tiny_store_root: Path, tmp_path: Path) -> None:
    jobs = Jobs(tiny_store_root, tmp_path)
    validation = jobs.turned_digits(50, start=300)
    folder = jobs.create(validation_file=validation)
    (tmp_path / "files" / validation.sha256).unlink()
    with pytest.raises(FileNotFound, match=validation.id) as raised:
        jobs.parts(folder)
    assert raised.value.param == "validation_file"
