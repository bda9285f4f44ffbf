"""Whatever the bytes, a reader answers with checked events or one of the two errors that a caller is told."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.events import CAMERAS, FORMATS
from tests.contract.events.hostile import CASES, VALID, read_or_refuse


def test_every_format_has_a_valid_case_that_is_read() -> None:
    assert set(VALID) == set(FORMATS) - {"hdf5"}  # which needs an extra
    assert all(read_or_refuse(data, format) for format, data in CASES)


@pytest.mark.parametrize(("format", "data"), CASES)
def test_every_truncation_is_read_or_refused(format: str, data: bytes) -> None:
    outcomes = [read_or_refuse(data[:length], format) for length in range(len(data))]
    assert not all(outcomes)


@pytest.mark.parametrize("format", FORMATS)
@given(body=st.binary(max_size=200), camera=st.sampled_from([*CAMERAS, None]))
@settings(deadline=None, max_examples=100)
def test_arbitrary_bytes_are_read_or_refused(format: str, body: bytes, camera: str | None) -> None:
    read_or_refuse(body, format, camera)
    read_or_refuse(body, None, camera)


@pytest.mark.parametrize(("format", "data"), CASES)
@given(body=st.binary(max_size=120), keep=st.floats(0, 1))
@settings(deadline=None, max_examples=100)
@example(body=b"", keep=1.0)
def test_arbitrary_bytes_after_a_valid_beginning_are_read_or_refused(
    format: str, data: bytes, body: bytes, keep: float
) -> None:
    read_or_refuse(data[: round(len(data) * keep)] + body, format)


@pytest.mark.parametrize(("format", "data"), CASES)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
@settings(deadline=None, max_examples=200)
def test_changed_bytes_are_read_or_refused(format: str, data: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for position, value in changes:
        changed[position % len(changed)] = value
    read_or_refuse(bytes(changed), format)
