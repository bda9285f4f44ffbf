"""Fine-tuning jobs for tests: digits turned by 90 degrees as an upload, on tiny checkpoints."""

import hashlib
import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from contract.card import Card, read_card
from contract.datasets.layout import Limits
from contract.job_events import ByAttempt, Data, Event, read_events
from contract.job_spec import FILES_FOLDER, JOBS_FOLDER, SPEC_FILE, DataFile, JobSpec
from contract.settings import Settings
from contract.store import STATE_FILE, Store
from tests.tiny import moving_bars
from training.data import Samples
from training.data.upload import load_parts
from training.export.checkpoint import load_scripted
from training.fine_tuning.process import Stop
from training.fine_tuning.run_job import run_job

D = TypeVar("D", bound=Data)

CPU = torch.device("cpu")
SAMPLES = 300


class Jobs:
    """A data folder beside a model store."""

    def __init__(self, store_root: Path, data_dir: Path) -> None:
        self.settings = Settings(model_store=store_root, data_dir=data_dir, device="cpu", training_threads=1)
        self.store = Store(store_root)
        self.processes: list[subprocess.Popen[str]] = []

    def upload(self, content: bytes, filename: str) -> DataFile:
        """Keep a file as an upload is kept."""
        sha256 = hashlib.sha256(content).hexdigest()
        folder = self.settings.data_dir / FILES_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / sha256).write_bytes(content)
        return DataFile(id=f"file-{sha256[:24]}", filename=filename, sha256=sha256)

    def turned_digits(self, samples: int = SAMPLES, *, start: int = 0, labels: str = "0123456789") -> DataFile:
        """Digits turned by 90 degrees, with labels in place of class ids."""
        values, targets = load_digits(return_X_y=True)
        pixels = np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)[start : start + samples]
        return self.arrays(np.rot90(pixels, axes=(1, 2)), np.array(list(labels))[targets[start : start + samples]])

    def upright_digits(self, samples: int = SAMPLES) -> DataFile:
        """The digits as the tiny checkpoints know them."""
        values, targets = load_digits(return_X_y=True)
        return self.arrays(np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)[:samples], targets[:samples])

    def arrays(self, x: np.ndarray, y: np.ndarray) -> DataFile:
        """Any arrays as an upload."""
        buffer = io.BytesIO()
        np.savez(buffer, x=x, y=y)
        return self.upload(buffer.getvalue(), "turned.npz")

    def bars(self, samples: int) -> DataFile:
        """Recordings of bars that move up or down, where the tiny checkpoint knows left and right."""
        bars, buffer = moving_bars(samples, seed=3), io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for index in range(samples):
                events = bars[index][:, [0, 2, 1, 3]].tolist()
                rows = "\n".join(["t,x,y,p", *(",".join(map(str, event)) for event in events)])
                archive.writestr(f"{'right' if bars.labels[index] else 'left'}/{index}.csv", rows)
        return self.upload(buffer.getvalue(), "bars.zip")

    def create(self, job: str = "ftjob-1", training_file: DataFile | None = None, **fields: Any) -> Path:
        """The folder of a job, as a worker leaves it to its child."""
        given = {"name": "tiny-image", "model": "tiny-image", "version": 1, "n_epochs": 2, "batch_size": 20}
        spec = JobSpec.model_validate(
            {"id": job, "training_file": training_file or self.turned_digits(), "learning_rate": 5e-3} | given | fields
        )
        folder = self.settings.data_dir.absolute() / JOBS_FOLDER / job
        folder.mkdir(parents=True)
        (folder / SPEC_FILE).write_text(spec.model_dump_json())
        return folder

    def run(self, folder: Path, stop: Stop | None = None) -> int:
        """Run a job in this process."""
        return run_job(folder, self.settings, CPU, stop or Stop())

    def start(self, folder: Path, **environment: str) -> subprocess.Popen[str]:
        """Run a job as its worker does."""
        arguments = ["-m", "training", "fine-tune", "--job", str(folder)]
        return self.start_process(arguments, self.environment() | environment)

    def environment(self) -> dict[str, str]:
        """The settings as a worker hands them down."""
        return {
            "SNN_MODEL_STORE": str(self.store.root.absolute()),
            "SNN_DATA_DIR": str(self.settings.data_dir.absolute()),
            "SNN_DEVICE": "cpu",
            "SNN_TRAINING_THREADS": "1",
        }

    def start_process(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        """Start Python; `close` will see that it ends."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Kill what a test has left running."""
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def card(self, version: int, name: str = "tiny-image") -> Card:
        """The card of a version."""
        return read_card(self.store.checkpoint_path(name, version))

    def spec(self, folder: Path) -> JobSpec:
        """The specification in a job's folder."""
        return JobSpec.model_validate_json((folder / SPEC_FILE).read_text())

    def parts(self, folder: Path, version: int = 1) -> tuple[Samples, Samples]:
        """The parts on which a job trains and validates, for the input and labels of a version."""
        spec, card = self.spec(folder), self.card(version)
        files = spec.training_file, spec.validation_file
        return load_parts(
            *files, self.settings.data_dir, card.input, card.labels, Limits.of(self.settings), seed=spec.seed
        )

    def state(self, name: str, version: int) -> dict[str, torch.Tensor]:
        """The tensors of a version's training state."""
        return safetensors.torch.load_file(self.store.checkpoint_path(name, version).with_name(STATE_FILE))

    def exported(self, version: int, name: str = "tiny-image") -> dict[str, torch.Tensor]:
        """The tensors of a version's checkpoint."""
        return dict(load_scripted(self.store.checkpoint_path(name, version)).state_dict())


def events(folder: Path) -> list[Event]:
    """The events of a job."""
    return [event for _, event in read_events(folder)]


def kinds(folder: Path) -> list[str]:
    """The kinds of a job's events, `metrics` for those, without `progress`, whose number depends on the machine."""
    found = [kind_of(event) for event in events(folder)]
    return [kind for kind in found if kind != "progress"]


def kind_of(event: Event) -> str:
    """The kind of an event; `metrics` for those."""
    return str(getattr(event.data, "kind", event.type))


def reported(folder: Path, kind: type[D]) -> list[D]:
    """The data of all events of a kind."""
    return [event.data for event in events(folder) if isinstance(event.data, kind)]


def last(folder: Path, kind: type[D]) -> D:
    """The data of the last event of a kind."""
    return reported(folder, kind)[-1]


def attempts(folder: Path) -> list[int]:
    """The attempts that reported the job's events, in the order of the events."""
    return [event.data.attempt for event in events(folder) if isinstance(event.data, ByAttempt)]


def until(condition: Callable[[], object], seconds: float = 300) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
