import pytest

from contract.settings import Settings
from service.share import DIVIDED, share_of


def test_one_process_has_everything() -> None:
    settings = Settings()
    assert share_of(settings) is settings


def test_the_parts_of_all_processes_are_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.share.available_cores", lambda: 16.0)
    settings = Settings(workers=4)
    part = share_of(settings)
    assert (part.max_queue_size, part.max_connections, part.max_queue_bytes) == (64, 1024, 64 * 2**20)
    assert part.threads == 3  # of its four cores
    for name in DIVIDED:
        assert 0 < getattr(part, name) * 4 <= max(4, getattr(settings, name)), name
    assert part.max_queue_seconds == settings.max_queue_seconds


def test_every_process_can_do_something(monkeypatch: pytest.MonkeyPatch) -> None:
    part = share_of(Settings(workers=8, max_queue_size=2, threads=5))
    assert (part.max_queue_size, part.decode_processes, part.threads) == (1, 1, 5)
