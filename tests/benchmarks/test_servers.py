"""The comparison of servers runs from end to end, and notices a server that answers something else."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.contestants import left_out
from benchmarks.processes import children, cpu_seconds, descendants, memory, tell
from benchmarks.servers import check

ROOT = Path(__file__).parents[2]
K6 = shutil.which("k6", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
RATIO = r"\d+\.\d\dx \(\d+\.\d\d\.\.\d+\.\d\d\)"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextlib.contextmanager
def shell_with_a_child() -> Iterator[subprocess.Popen[str]]:
    """A shell that has started a Python, which keeps 64 MiB and has told so."""
    program = "kept = bytearray(b'x' * 2**26); print('ready', flush=True); input()"
    command = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "ready\n"
        yield shell
        tell(descendants(shell.pid), signal.SIGKILL)


def test_a_process_is_told_of_with_what_it_started() -> None:
    with shell_with_a_child() as shell:
        [child] = children(shell.pid)
        family = list(descendants(shell.pid))
        assert family == [shell.pid, child]
        assert shell.pid in children(os.getpid())
        resident, proportional = memory(family)
        assert 64 < proportional <= resident < 512
        assert memory([shell.pid])[0] < 64
        assert cpu_seconds(family) > 0
    assert shell.pid not in children(os.getpid())


def test_a_stopped_process_stands_still_until_it_goes_on() -> None:
    with shell_with_a_child() as shell:
        family = list(descendants(shell.pid))
        tell([2**22 + 1, *family], signal.SIGSTOP)  # no process has such an id
        assert all(becomes(process, "T") for process in family)
        tell(family, signal.SIGCONT)
        assert all(becomes(process, "S") for process in family)


def becomes(process: int, state: str, seconds: float = 10) -> bool:
    """Whether the process gets into the state in time."""
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != state:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_server_that_answers_something_else_is_named() -> None:
    mine = [{"class_id": 3, "score": 0.5}, {"class_id": 1, "score": 0.25}]
    check({"service": mine, "litserve": [dict(each) for each in mine]})
    with pytest.raises(SystemExit, match="fastapi does not answer as the service does to image 1"):
        check({"service": mine, "litserve": mine, "fastapi": [mine[0], {"class_id": 1, "score": 0.2}]})


def test_a_server_that_is_not_installed_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert left_out(["fastapi"]) == {}
    (tmp_path / "python").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "not installed" in left_out(["in-front", "fastapi"])["in-front"]
    (tmp_path / "torchserve").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    found = left_out(["torchserve", "fastapi"])
    assert found.keys() == {"torchserve"}
    assert "Java" in found["torchserve"]


def run(server: str, mark: str) -> str:
    """What the program prints for two clients and short turns; its processes have `mark` in their environment."""
    command = [sys.executable, "-m", "benchmarks.servers", "--model", "digits-stl", "--clients", "2", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--seconds", "1", "--servers", server],
        cwd=ROOT,
        env=os.environ | {"MARK": mark},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "5 images answered alike" in done.stdout
    return done.stdout


def marked(mark: str) -> set[int]:
    """The processes that are there and have `mark` in their environment."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.add(int(folder.name))
    return found


@pytest.mark.skipif(K6 is None, reason="k6 is not installed (the extra `benchmarks`)")
@pytest.mark.parametrize(
    "server",
    [
        "fastapi",
        "litserve",
        pytest.param("torchserve", marks=pytest.mark.torchserve),
        pytest.param("in-front", marks=pytest.mark.torchserve),
    ],
)
def test_a_short_run_compares_and_leaves_no_process(server: str) -> None:
    if reasons := left_out([server]):
        pytest.skip(reasons[server])
    printed = run(server, mark := uuid.uuid4().hex)
    assert re.search(r"^\| service \| [\d,]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \|  \|  \|  \|$", printed, re.MULTILINE)
    assert re.search(rf"^\| {server} \| .+ \| {RATIO} \| {RATIO} \| {RATIO} \|$", printed, re.MULTILINE), printed
    assert len(re.findall(rf"^\| {server} \| \d+ \| [\d,]+ \| [\d,]+ \|$", printed, re.MULTILINE)) == 1
    assert marked(mark) == set()
