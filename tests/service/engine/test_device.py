"""The choice of a device, without torch where there is no GPU."""

import sys
from pathlib import Path

import pytest

from service.engine.device import CPU, Device, choose_device, may_have_gpu


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:12"])
def test_a_device_has_the_name_that_it_came_from(name: str) -> None:
    assert str(Device.parse(name)) == name


def test_there_are_no_other_devices() -> None:
    with pytest.raises(ValueError, match="no device 'mps'"):
        Device.parse("mps")


@pytest.mark.skipif(sys.platform != "linux", reason="device nodes are Linux's")
@pytest.mark.parametrize("node", ["nvidia0", "nvidiactl", "dxg", "kfd", "nvhost-gpu"])
def test_a_gpus_driver_shows_in_its_device_node(tmp_path: Path, node: str) -> None:
    (tmp_path / "null").touch()
    assert not may_have_gpu(tmp_path)
    (tmp_path / node).touch()
    assert may_have_gpu(tmp_path)


def test_torch_is_not_asked_where_there_is_no_device_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.device.may_have_gpu", lambda: False)
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(ImportError):
        choose_device("cuda")
