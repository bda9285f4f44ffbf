"""Groups: versions of other models that are served as one model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import InvalidParameter, ModelFailedToLoad, VersionInUse
from contract.group import Group, write_group
from contract.settings import Settings
from contract.store import Store
from service.engine.device import CPU
from service.fine_tuning.create_job import CreateJobBody
from service.fine_tuning.plan import plan
from service.inference.bodies import PixelsInput
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from service.models.registry import Registry
from tests.service.serving import Serve, check

PLANE = np.random.default_rng(2).integers(0, 256, (8, 8)).tolist()
PAIR = ("tiny-image/1", "tiny-image/2")


def publish(root: Path, *members: str, name: str = "pair", **fields: Any) -> None:
    group = Group(created_at=datetime.now(UTC), members=members, **fields)
    Store(root).publish(name, lambda folder: write_group(folder, group))


@asynccontextmanager
async def registry_of(root: Path, *, places: int = 8) -> AsyncIterator[Registry]:
    registry = Registry(Store(root), device=CPU, preload=(), poll_seconds=3600, max_loaded_versions=places)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.stop()


async def predict(predictor: Predictor, model: str, version: int | None = None, **options: Any) -> Any:
    inputs = [PixelsInput(pixels=PLANE)]
    return (await predictor.predict(model, inputs, PredictOptions(**options), version=version))["predictions"][0]


async def test_a_group_joins_its_members_and_costs_their_sum(store_root: Path) -> None:
    publish(store_root, *PAIR, decision="vote")
    async with Predictor.open(store_root, device="cpu") as predictor:
        found = await predict(predictor, "pair", seed=4, detail="layers")
        members = [await predict(predictor, "tiny-image", number, seed=4, detail="layers") for number in (1, 2)]
        assert found["joint"]["decision"] == "vote"
        assert [(each["member"], each["label"], each["score"]) for each in found["joint"]["decisions"]] == [
            (name, each["label"], each["score"]) for name, each in zip(PAIR, members, strict=True)
        ]
        for part, figure in (
            ("spikes", "total"),
            ("energy", "accumulates"),
            ("energy", "estimate_nj"),
            ("energy", "ann_equivalent_nj"),
        ):
            assert found[part][figure] == pytest.approx(sum(each[part][figure] for each in members))
        assert [(each["name"], each["spikes"]) for each in found["spikes"]["layers"]] == [
            (f"member{number}.{layer['name']}", layer["spikes"])
            for number, each in enumerate(members, 1)
            for layer in each["spikes"]["layers"]
        ]
        mean = await predict(predictor, "pair", seed=4, decision="mean", top_k=10)
        scores = [{each["class_id"]: each["score"] for each in member["top_k"]} for member in members]
        for each in mean["top_k"]:
            if all(each["class_id"] in own for own in scores):
                assert each["score"] == pytest.approx(sum(own[each["class_id"]] for own in scores) / 2)
        drawn = await predict(predictor, "pair", seed=4, draws=3)
        assert [(each["draw"], each["member"]) for each in drawn["joint"]["decisions"]] == [
            (draw, name) for draw in range(3) for name in PAIR
        ]
        with pytest.raises(InvalidParameter, match="exit is for a single decision"):
            await predict(predictor, "pair", exit="lossless")
        with pytest.raises(InvalidParameter, match="ask for those of its members"):
            await predict(predictor, "pair", energy="all")


async def test_members_are_shown_kept_in_memory_and_not_deleted(store_root: Path, serve: Serve) -> None:
    publish(store_root, *PAIR)
    async with serve(store_root) as client:
        loaded = await client.post("/v1/models/pair/versions/1/load")
        assert (loaded.status_code, loaded.json()["state"]) == (200, "ready"), loaded.text
        [pair] = [each for each in (await client.get("/v1/models")).json()["data"] if each["name"] == "pair"]
        [version] = pair["versions"]
        assert version["group"] == {"members": list(PAIR), "decision": "mean"}
        assert (version["engine"]["name"], version["metrics"]) == ("group", None)
        assert version["input"]["kind"] == "image"
        assert (await client.get("/v1/models/pair/versions/1")).json()["card"] is None
        for answer in (
            await client.post("/v1/models/tiny-image/versions/2/unload"),
            await client.delete("/v1/models/tiny-image/versions/2"),
        ):
            assert "tiny-image/2 is a member of the group pair/1" in check(answer, 409, "version_in_use", "version")
        asked = await client.post("/v1/models/pair/predict", json={"inputs": [{"pixels": PLANE}]})
        assert len(asked.json()["predictions"][0]["joint"]["decisions"]) == 2


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (("tiny-image/1", "tiny-image/9"), "its member tiny-image/9 is not in the store"),
        (("tiny-image/1", "nothing/1"), "its member nothing/1 is not in the store"),
        (("tiny-image/1", "tiny-direct/1"), "do not have the same encoder"),
        (("tiny-image/1", "pair/1"), "its member pair/1 is a group itself"),
        (("tiny-image/1", "broken/1"), "its member broken/1 failed to load: "),
    ],
)
async def test_a_group_that_cannot_be_served_has_failed_with_the_reason(
    store_root: Path, members: tuple[str, ...], reason: str
) -> None:
    (store_root / "broken" / "1").mkdir(parents=True)
    (store_root / "broken" / "1" / "model.pt").write_bytes(b"")
    publish(store_root, *members)
    async with registry_of(store_root) as registry:
        with pytest.raises(ModelFailedToLoad, match=reason):
            await registry.load("pair", 1)
        assert registry.version("pair", 1).state == "failed"


async def test_a_missing_member_that_has_come_is_found_by_loading_again(store_root: Path) -> None:
    publish(store_root, "tiny-image/1", "tiny-image/2")
    away = store_root.parent / "away"
    (store_root / "tiny-image" / "2").rename(away)
    async with registry_of(store_root) as registry:
        with pytest.raises(ModelFailedToLoad, match="tiny-image/2 is not in the store"):
            await registry.load("pair", 1)
        away.rename(store_root / "tiny-image" / "2")
        await registry.refresh("tiny-image")
        assert (await registry.load("pair", 1)).state == "ready"


async def test_members_share_their_engines_with_the_group_and_stay_for_it(store_root: Path) -> None:
    publish(store_root, "tiny-direct/1", "tiny-direct/2")
    (store_root / "tiny-direct" / "2").mkdir()
    for file in (store_root / "tiny-direct" / "1").iterdir():
        (store_root / "tiny-direct" / "2" / file.name).write_bytes(file.read_bytes())
    async with registry_of(store_root, places=1) as registry:
        await registry.load("pair", 1)
        member = registry.version("tiny-direct", 2)
        assert member.state == "ready"
        await registry.load("tiny-image", 2)  # takes the only place
        assert registry.version("tiny-direct", 2) is member
        with pytest.raises(VersionInUse):
            await registry.unload("tiny-direct", 2)


async def test_a_group_that_was_just_published_keeps_its_members(store_root: Path) -> None:
    async with registry_of(store_root) as registry:
        publish(store_root, *PAIR)
        with pytest.raises(VersionInUse, match="pair/1"):
            await registry.delete("tiny-image", 2)
        assert (store_root / "tiny-image" / "2").is_dir()


async def test_a_group_is_not_fine_tuned(store_root: Path) -> None:
    publish(store_root, *PAIR)
    body = CreateJobBody.model_validate({"model": "pair", "training_file": "file-1"})
    async with registry_of(store_root) as registry:
        with pytest.raises(InvalidParameter, match="fine-tune one of its members: tiny-image/1, tiny-image/2") as found:
            await plan(
                body,
                {},
                identity="ftjob-1",
                registry=registry,
                store=Store(store_root),
                uploads=None,  # type: ignore[arg-type]
                settings=Settings(),
            )
        assert found.value.param == "model"
