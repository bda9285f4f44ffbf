import os
from pathlib import Path

import pytest

from contract.cores import available_cores, choose_threads

MASK = len(os.sched_getaffinity(0))


def groups(root: Path, own: str, **files: str) -> tuple[Path, Path]:
    """A tree of control groups, and the file that says where this process is; `__` in a name stands for `/`."""
    for name, content in files.items():
        path = root / "mount" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "own").write_text(own)
    return root / "mount", root / "own"


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("150000 100000\n", 1.5),
        ("400000 100000\n", 4),
        ("max 100000\n", 64),
        ("", 64),
        ("nonsense", 64),
        ("0 100000", 64),
        ("100000 0", 64),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path: Path, content: str, cores: float) -> None:
    tree = groups(tmp_path, "0::/\n", **{"cpu.max": content})
    assert available_cores(*tree) == cores


@pytest.mark.usefixtures("many_cores")
def test_the_narrowest_group_above_the_process_counts(tmp_path: Path) -> None:
    tree = groups(
        tmp_path,
        "0::/pods/one/service\n",
        **{
            "pods__cpu.max": "800000 100000",
            "pods__one__cpu.max": "300000 100000",
            "pods__one__service__cpu.max": "max 100000",
            "pods__two__cpu.max": "100000 100000",
        },
    )
    assert available_cores(*tree) == 3


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("path", ["/docker/abc", "/elsewhere/on/the/host", "/"])
def test_version_one_groups_count_too(tmp_path: Path, path: str) -> None:
    tree = groups(
        tmp_path,
        f"12:memory:/x\n4:cpu,cpuacct:{path}\n0::/\n",
        **{
            "cpu,cpuacct__cpu.cfs_quota_us": "250000\n",
            "cpu,cpuacct__cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct__docker__abc__cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct__docker__abc__cpu.cfs_period_us": "100000\n",
            "memory__x__cpu.max": "1 100000",
        },
    )
    assert available_cores(*tree) == 2.5


@pytest.mark.usefixtures("many_cores")
def test_without_control_groups_the_cores_that_may_be_used_count(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "none", tmp_path / "none") == 64


def test_this_machine_has_cores() -> None:
    assert 0 < available_cores() <= MASK


def test_a_limit_above_the_cores_that_may_be_used_gives_no_more(tmp_path: Path) -> None:
    assert available_cores(*groups(tmp_path, "0::/\n", **{"cpu.max": "99900000 100000"})) == MASK


@pytest.mark.parametrize(("cores", "threads"), [(0.5, 1), (1, 1), (2, 1), (2.9, 1), (3, 2), (4, 3), (9, 8), (64, 8)])
def test_one_thread_on_small_machines_and_never_all_cores(cores: float, threads: int) -> None:
    assert choose_threads(cores) == threads
