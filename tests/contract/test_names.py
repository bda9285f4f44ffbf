"""Model references: `name` and `name/version`."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.names import NAME_PATTERN, ModelRef, check_preload


@given(
    name=st.from_regex(re.compile(NAME_PATTERN, re.ASCII), fullmatch=True),
    version=st.none() | st.integers(1, 999_999_999),
)
def test_a_reference_is_read_as_it_was_written(name: str, version: int | None) -> None:
    ref = ModelRef(name, version)
    assert ModelRef.parse(str(ref)) == ref
    check_preload(["*", str(ref)])


def test_a_reference_is_written_with_a_slash() -> None:
    assert str(ModelRef("digits-stl", 12)) == "digits-stl/12"
    assert str(ModelRef("digits-stl")) == "digits-stl"


@pytest.mark.parametrize(
    "text",
    ["", "/", "digits/", "/1", "digits/0", "digits/01", "digits/-1", "digits/1/2", "digits/٣", "digits/1234567890",
     "Digits", "digits\n", "digits/1\n", " digits", "../digits", "x" * 65, "digits 1"],
)  # fmt: skip
def test_anything_else_is_not_a_reference(text: str) -> None:
    with pytest.raises(ValueError, match="write a model name, or name/version"):
        ModelRef.parse(text)
    with pytest.raises(ValueError, match="cannot preload"):
        check_preload([text])
