import pytest

from contract.structure import (
    Conv,
    Dropout,
    Linear,
    Pool,
    Residual,
    StructureError,
    Vote,
    format_structure,
    parse_structure,
)


def test_the_authors_structure_is_read() -> None:
    assert parse_structure("128C5-MP2-128C5-MP2-DP0.5-FC2048-DP0.5-VOTE10") == [
        Conv(128, 5),
        Pool("MP", 2),
        Conv(128, 5),
        Pool("MP", 2),
        Dropout(0.5),
        Linear(2048),
        Dropout(0.5),
        Vote(10),
    ]


def test_every_token_has_a_place() -> None:
    assert parse_structure("8C3-16R3-AP2-VOTE") == [Conv(8, 3), Residual(16, 3), Pool("AP", 2), Vote(10)]


@pytest.mark.parametrize("text", ["128C5-MP2-8R3-AP3-DP0.5-FC2048-DP0-VOTE10", "VOTE1"])
def test_tokens_are_written_as_they_were_read(text: str) -> None:
    assert format_structure(parse_structure(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a layer"),
        ("8C3", "must end with VOTE"),
        ("VOTE10-FC5", "must end with VOTE"),
        ("VOTE2-VOTE2", "must end with VOTE"),
        ("8C4-VOTE", "even kernel"),
        ("8R2-VOTE", "even kernel"),
        ("0C3-VOTE", "'0C3' is not a layer"),
        ("8c3-VOTE", "'8c3' is not a layer"),
        ("DP1.5-VOTE", "'DP1.5' is not a layer"),
        ("8C3--VOTE", "'' is not a layer"),
        ("FC8-8C3-VOTE", "'8C3' cannot follow a fully connected layer"),
        ("FC8-MP2-VOTE", "'MP2' cannot follow"),
        ("8C3-VOTE10 ", "'VOTE10 ' is not a layer"),
    ],
)
def test_a_wrong_structure_says_which_part(text: str, message: str) -> None:
    with pytest.raises(StructureError, match=message):
        parse_structure(text)
