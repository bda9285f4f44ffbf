import pytest

from contract.reason import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("too few weights"), "ValueError: too few weights"),
        (KeyError(), "KeyError"),
        (RuntimeError("two\n\nlines\x1b"), "RuntimeError: two lines?"),
        (
            RuntimeError("Traceback (most recent call last):\n  File x\nbuiltins.ValueError: no\nmore"),
            "ValueError: no more",
        ),
        (RuntimeError("see /srv/models/a.pt, 2 spikes/step"), "RuntimeError: see (path), 2 spikes/step"),
        (PermissionError(13, "Permission denied", "/srv/my models/a.pt"), "PermissionError: Permission denied"),
    ],
)
def test_a_reason_is_one_line_without_a_stack_or_a_path(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


def test_a_long_reason_is_cut() -> None:
    assert len(reason_of(ValueError("x" * 5000))) == 300
