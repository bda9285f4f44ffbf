from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.card import Card, read_card
from contract.checkpoint import CheckpointError
from contract.group import GROUP_FILE, MAX_MEMBERS, Group, group_card, read_group, write_group
from contract.names import ModelRef
from contract.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cards(root: Path, *names: str) -> list[Card]:
    refs = [ModelRef.parse(name) for name in names]
    return [read_card(Store(root).checkpoint_path(ref.name, ref.version or 0)) for ref in refs]


def test_a_group_is_read_as_it_was_written(tmp_path: Path) -> None:
    group = Group(created_at=NOW, members=("a/1", "b/12"), decision="vote")
    write_group(tmp_path, group)
    assert read_group(tmp_path / GROUP_FILE) == group
    assert [(ref.name, ref.version) for ref in group.refs] == [("a", 1), ("b", 12)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"created_at": 0, "members": ["a/1"]}', "members: "),
        (b'{"created_at": 0, "members": ["a/1", "b"]}', "needs a version"),
        (b'{"created_at": 0, "members": ["a/1", "../b/2"]}', "name/version"),
        (b'{"created_at": 0, "members": ["a/1", "a/1"]}', "the same version"),
        (b'{"created_at": 0, "members": ["a/1", "b/1"], "decision": "most"}', "decision: "),
        (b'{"format_version": 2, "created_at": 0, "members": ["a/1", "b/1"]}', "format_version: "),
        (b" " * 10_001, "more than 10000 bytes"),
    ],
)
def test_a_broken_file_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / GROUP_FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=problem):
        read_group(tmp_path / GROUP_FILE)
    with pytest.raises(ValueError, match="at most 16"):
        Group(created_at=NOW, members=tuple(f"a/{number}" for number in range(1, MAX_MEMBERS + 2)))


def test_the_card_of_a_group_has_the_layers_of_all_members_side_by_side(tiny_store_root: Path) -> None:
    members = cards(tiny_store_root, "tiny-image/1", "tiny-image/2")
    card = group_card("pair", Group(created_at=NOW, members=("tiny-image/1", "tiny-image/2")), members)
    again = Card.model_validate(card.model_dump())  # its columns have no gaps
    assert [layer.name for layer in again.spiking_layers] == [
        f"member{number}.{layer.name}" for number, member in enumerate(members, 1) for layer in member.spiking_layers
    ]
    assert again.neurons == sum(member.neurons for member in members)
    assert again.voters == 4


@pytest.mark.parametrize(("other", "what"), [("tiny-direct/1", "encoder"), ("tiny-events/1", "input")])
def test_members_must_agree(tiny_store_root: Path, other: str, what: str) -> None:
    group = Group(created_at=NOW, members=("tiny-image/1", other))
    with pytest.raises(CheckpointError, match=f"do not have the same {what}"):
        group_card("pair", group, cards(tiny_store_root, "tiny-image/1", other))


def test_the_store_finds_the_file_of_a_group_but_not_behind_a_link(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    group = Group(created_at=NOW, members=("a/1", "b/1"))
    assert store.publish("pair", lambda folder: write_group(folder, group)) == 1
    assert store.checkpoint_path("pair", 1) == tmp_path / "store" / "pair" / "1" / GROUP_FILE
    write_group(tmp_path, group)
    (tmp_path / "store" / "pair" / "2").mkdir()
    (tmp_path / "store" / "pair" / "2" / GROUP_FILE).symlink_to(tmp_path / GROUP_FILE)
    assert store.checkpoint_path("pair", 2).name == "model.pt"
