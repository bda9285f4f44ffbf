"""Names that the store does not have."""

import asyncio

import pytest

from service.models.unknown import Lookups, suggestion


class Disk:
    """Counts how often it is asked for a model."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def look(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._look(name))

    async def _look(self, name: str) -> None:
        await asyncio.sleep(0)
        self.asked.append(name)


async def test_a_name_is_looked_for_once_until_the_next_scan() -> None:
    disk = Disk()
    lookups = Lookups(disk.look)
    for _ in range(2):
        await asyncio.gather(*(lookups.look_for("a", None) for _ in range(8)))
    await lookups.look_for("a", 1)
    assert disk.asked == ["a", "a"]
    lookups.forget()
    await lookups.look_for("a", None)
    assert disk.asked == ["a", "a", "a"]


async def test_everybody_who_asks_meanwhile_waits_for_the_same_look() -> None:
    disk = Disk()
    lookups = Lookups(disk.look)
    leaving, staying = (asyncio.create_task(lookups.look_for("a", 2)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert disk.asked == ["a"]


async def test_many_names_and_names_of_no_model_cost_no_more_looks() -> None:
    disk = Disk()
    lookups = Lookups(disk.look)
    for number in range(1000):
        await lookups.look_for(f"m{number}", None)
        await lookups.look_for("known", number)
    assert len(disk.asked) <= 64
    lookups.forget()
    disk.asked.clear()
    for name in ("", "../etc", "Digits", "x" * 65, "é"):
        await lookups.look_for(name, None)
    assert disk.asked == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny-imgae", "; did you mean 'tiny-image'?"),
        ("m00500x", "; did you mean 'm00500'?"),
        ("nothing-like-it", ""),
        ("tiny-image" * 7, ""),
    ],
)
def test_the_nearest_name_is_suggested(name: str, said: str) -> None:
    assert suggestion(name, sorted([f"m{number:05d}" for number in range(1000)] + ["tiny-image"])) == said
