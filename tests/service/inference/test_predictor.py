"""The pipeline from inputs to predictions, without a server."""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.errors import InvalidImage, InvalidParameter, ModelNotFound, VersionNotFound, WrongInputKind
from contract.settings import Settings
from service.inference.bodies import PixelsInput
from service.inference.decode import File, RawInput
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from service.models.single import SingleVersion
from service.telemetry.metrics import Metrics
from tests.service.constant_power import ConstantPower
from tests.service.models_in_memory import load_version
from tests.service.prometheus import read
from tests.service.serving import serving
from tests.service.troubled import NAME, RAISES, add_troubled

CSV = b"t,x,y,p\n100,1,2,1\n1100,3,4,0\n5099,5,6,1\n5100,7,7,1\n"


def pixels(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)


def png(seed: int = 0) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels(seed)).save(buffer, "PNG")
    return buffer.getvalue()


async def test_python_code_gets_the_predictions_that_http_gets(tiny_store_root: Path) -> None:
    async with serving(tiny_store_root) as client:
        for name, content, kind in (
            ("tiny-image", png(), "image/png"),
            ("tiny-events", CSV, "application/octet-stream"),
        ):
            sent = await client.post(
                f"/v1/models/{name}/predict", content=content, headers={"Content-Type": kind}, params={"seed": 3}
            )
            async with Predictor.open(tiny_store_root, device="cpu") as predictor:
                found = await predictor.predict(name, [content], PredictOptions(seed=3))
            assert sent.status_code == 200, sent.text
            assert found["predictions"] == sent.json()["predictions"]
            assert found.keys() == sent.json().keys()
            assert (found["model"], found["version"]) == (name, 1)


async def test_a_request_uses_its_version_until_it_has_ended(tiny_store_root: Path) -> None:
    loaded = load_version(tiny_store_root, "tiny-image")
    seen = []

    async def read() -> Sequence[RawInput | bytes]:
        seen.append(loaded.version.users)
        return [png()]

    async with Predictor(SingleVersion(loaded), Settings()) as predictor:
        await predictor.predict("tiny-image", read)
        with pytest.raises(InvalidParameter):
            await predictor.predict("tiny-image", read, PredictOptions(top_k=11))
    assert (seen, loaded.version.users) == ([1], 0)


async def test_a_version_loads_on_first_use_and_nothing_runs_afterwards(tiny_store_root: Path) -> None:
    async with Predictor.open(tiny_store_root, device="cpu") as predictor:
        assert (await predictor.predict("tiny-image", [png()], version=2))["version"] == 2
        with pytest.raises(VersionNotFound):
            await predictor.predict("tiny-image", [png()], version=9)
        with pytest.raises(ModelNotFound, match="did you mean 'tiny-image'"):
            await predictor.predict("tiny-imgae", [png()])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_calls_at_the_same_time_share_a_batch(tiny_store_root: Path) -> None:
    async with Predictor.open(tiny_store_root, device="cpu") as predictor:
        alone = await predictor.predict("tiny-image", [png(0)])
        together = await asyncio.gather(*(predictor.predict("tiny-image", [png(seed)]) for seed in range(5)))
    assert max(each["timing"]["batch_size"] for each in together) > 1
    assert together[0]["predictions"] == alone["predictions"]


async def test_every_form_of_an_input_is_taken(tiny_store_root: Path) -> None:
    forms: list[RawInput | bytes] = [png(), File(png()), PixelsInput(pixels=pixels().tolist())]
    async with Predictor.open(tiny_store_root, device="cpu") as predictor:
        found = (await predictor.predict("tiny-image", forms))["predictions"]
        with pytest.raises(InvalidImage) as refused:
            await predictor.predict("tiny-image", [png(), b"no image"])
    assert [each["index"] for each in found] == [0, 1, 2]
    assert len({tuple(sorted(each["spikes"].items())) for each in found}) == 1
    assert refused.value.param == "inputs[1]"


async def test_nothing_is_read_for_a_request_that_fails_before(tiny_store_root: Path) -> None:
    async def read() -> Sequence[RawInput]:
        raise AssertionError("the body was read")

    async with Predictor.open(tiny_store_root, device="cpu") as predictor:
        with pytest.raises(ModelNotFound):
            await predictor.predict("nothing", read)
        for wrong in ({"top_k": 11}, {"energy_profile": "loihi3"}, {"format": "dav"}):
            with pytest.raises(InvalidParameter) as refused:
                await predictor.predict("tiny-image", read, PredictOptions.model_validate(wrong))
            assert refused.value.param == next(iter(wrong))
        with pytest.raises(AssertionError, match="was read"):
            await predictor.predict("tiny-image", read)


async def test_each_input_has_its_share_of_the_energy_measured_for_its_own_batch(tiny_store_root: Path) -> None:
    settings = Settings(max_batch_size=2)
    loaded = SingleVersion(load_version(tiny_store_root, "tiny-image"))
    async with Predictor(loaded, settings, power=ConstantPower(1e3)) as one:
        found = await one.predict("tiny-image", [png(seed) for seed in range(5)])
    energies = [each["energy"] for each in found["predictions"]]
    measured = [each["measured_mj"] for each in energies]
    assert all(each is not None and each > 0 for each in measured)
    assert measured[0] == measured[1]
    assert measured[2] == measured[3]
    whole = sum(each for each in measured if each is not None)  # 1 J a millisecond, as batches of 2, 2 and 1
    assert whole / 1e3 == pytest.approx(found["timing"]["compute_ms"])
    assert all(each["measurement"] == {"source": "rapl", "window_s": 10.0, "idle_w": 0.5} for each in energies)


async def test_what_was_not_measured_has_no_measurement(tiny_store_root: Path) -> None:
    loaded = SingleVersion(load_version(tiny_store_root, "tiny-image"))
    async with Predictor(loaded, Settings(), power=ConstantPower(None)) as one:
        energy = (await one.predict("tiny-image", [png()]))["predictions"][0]["energy"]
    assert energy["measured_mj"] is None
    assert "measurement" not in energy


async def test_a_copied_version_is_known_by_its_name_in_the_store(
    store_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_troubled(store_root)
    shutil.copytree(store_root / NAME, store_root / "copied")  # whose card still has the first name
    metrics = Metrics()
    loaded = load_version(store_root, "copied")
    assert loaded.engine.card.name == NAME
    async with Predictor(SingleVersion(loaded), Settings(), metrics=metrics) as predictor:
        assert (await predictor.predict("copied", [png()]))["model"] == "copied"
        with pytest.raises(WrongInputKind, match="model 'copied' takes images"):
            await predictor.predict("copied", [CSV], PredictOptions(format="csv"))
        with pytest.raises(InvalidParameter, match="model 'copied' has 10 classes"):
            await predictor.predict("copied", [png()], PredictOptions(top_k=11))
        caplog.set_level(logging.WARNING)
        failing = [PixelsInput(pixels=pixels().tolist(), seed=seed) for seed in (1, RAISES)]
        with pytest.raises(Exception, match="cannot bear this sample"):
            await predictor.predict("copied", failing)
    assert "a batch of 2 for copied/1 failed" in caplog.text
    names = {dict(labels)["model"] for (_, labels), value in read(metrics).items() if "model" in dict(labels)}
    assert names == {"copied"}


async def test_runs_and_their_energy_are_counted(tiny_store_root: Path) -> None:
    metrics = Metrics()
    models = SingleVersion(load_version(tiny_store_root, "tiny-image"))
    async with Predictor(models, Settings(max_batch_size=2), power=ConstantPower(1e3), metrics=metrics) as predictor:
        found = await predictor.predict("tiny-image", [png(seed) for seed in range(3)])
    counted, label = read(metrics), frozenset({("model", "tiny-image")})
    assert counted["snn_batch_size_count", label] == 2
    seconds = counted["snn_device_seconds_total", label]
    assert seconds == pytest.approx(found["timing"]["compute_ms"] / 1000)
    assert counted["snn_energy_measured_joules_total", label] == pytest.approx(seconds * 1e3)


async def test_a_single_version_is_no_other(tiny_store_root: Path) -> None:
    models = SingleVersion(load_version(tiny_store_root, "tiny-image", 2))
    async with Predictor(models, Settings()) as predictor:
        assert (await predictor.predict("renamed", [png()]))["version"] == 2
        with pytest.raises(VersionNotFound, match="only version 2"):
            await predictor.predict("renamed", [png()], version=1)
