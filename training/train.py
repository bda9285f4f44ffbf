"""One training run: data, network, the loop with its saved states, and at the end a published checkpoint."""

import logging
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger

from service.card import Card, Layer, Learning, Provenance
from service.store import Store
from training.batches import loader
from training.builder import build_network
from training.config import ConfigError, TrainingConfig
from training.data import Dataset, Images, Recordings, split_train
from training.encode import build_encoder
from training.evaluate import evaluate, metrics
from training.export import publish, script
from training.module import SpikingModule
from training.network import SpikingNetwork
from training.progress import progress_display

CONFIG_FILE = "config.json"
LAST, BEST = "last.ckpt", "best.ckpt"


@dataclass(frozen=True)
class Published:
    """A finished run: the version it became and its card."""

    version: int
    card: Card


def initial_network(config: TrainingConfig, dataset: Dataset) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
    """The network before training: a function of the seed alone, so that sl, tl and stl start alike."""
    torch.manual_seed(config.seed)
    encoder = config.encoder(dataset.input)
    network, layers = build_network(
        config.network, spec=dataset.input, encoder=encoder, neuron=config.neuron, classes=len(dataset.labels)
    )
    with torch.no_grad():
        for layer in network.spiking_layers().values():
            layer.neurons.threshold.normal_(config.threshold, config.threshold_std)
    return network, layers


def train(
    config: TrainingConfig,
    dataset: Dataset,
    store: Store,
    run_dir: Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Published:
    """Train, choose the epoch on the validation split, measure the exported form once on the test part, publish.

    The run keeps its state of each epoch in `run_dir`; a run that was stopped goes on from its last whole epoch with
    `resume` and ends with the same weights. The folder is removed once the version is published. Raises `ConfigError`
    where the folder holds a run that this call would lose or cannot go on with.
    """
    _enter(run_dir, config, resume=resume)
    training, validation = _split(config, dataset)
    network, layers = initial_network(config, dataset)
    encoder = config.encoder(dataset.input)
    module = SpikingModule(network, build_encoder(dataset.input, encoder), config)
    best_epoch = _fit(module, training, validation, run_dir, resume=resume, progress=progress)

    scripted = script(network.eval(), module.encoder)
    test = evaluate(scripted, dataset.test)
    chosen_on = evaluate(scripted, validation) if len(validation) else None
    card = Card(
        name=config.name,
        created_at=datetime.now(UTC),
        labels=dataset.labels,
        input=dataset.input,
        encoder=encoder,
        neuron=config.neuron,
        network=config.network,
        voters=network.voters,
        layers=layers,
        learning=_learning(config, dataset, len(training), best_epoch),
        metrics=metrics(test, layers, encoder.timesteps, chosen_on),
        provenance=provenance(),
    )
    version = publish(store, card, scripted, network)
    shutil.rmtree(run_dir)
    return Published(version, card)


def provenance() -> Provenance:
    """The versions of this project and of torch, and the git commit where the project runs from a checkout."""
    root = Path(__file__).parent.parent
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    commit = found.stdout.strip() if found.returncode == 0 and (root / ".git").exists() else None
    return Provenance(
        project_version=package_version("stl-snn"), torch_version=torch.__version__, git_commit=commit or None
    )


def _enter(run_dir: Path, config: TrainingConfig, *, resume: bool) -> None:
    """Take the run folder: a new one, or that of the run to go on with."""
    config_file = run_dir / CONFIG_FILE
    if resume:
        if not config_file.exists():
            raise ConfigError(f"there is no stopped run in {run_dir} to resume")
        stopped = TrainingConfig.model_validate_json(config_file.read_text())
        if stopped != config:
            changed = [name for name in type(config).model_fields if getattr(stopped, name) != getattr(config, name)]
            raise ConfigError(f"the run in {run_dir} was started with another {', '.join(changed)}")
        return
    if config_file.exists():
        raise ConfigError(f"{run_dir} holds a stopped run: go on with --resume, or remove that folder")
    run_dir.mkdir(parents=True, exist_ok=True)
    config_file.write_text(config.model_dump_json(indent=2))


def _split(config: TrainingConfig, dataset: Dataset) -> tuple[Images | Recordings, Images | Recordings]:
    """The part to train on and the part that chooses the epoch."""
    whole = dataset.train
    if config.train_samples is not None:
        whole = whole.subset(torch.arange(min(config.train_samples, len(whole))))
    training, validation = split_train(whole.labels, config.validation_fraction, config.seed)
    return whole.subset(training), whole.subset(validation)


def _fit(
    module: SpikingModule,
    training: Images | Recordings,
    validation: Images | Recordings,
    run_dir: Path,
    *,
    resume: bool,
    progress: bool,
) -> int:
    """Run the loop and leave the chosen epoch's weights in the module; returns that epoch, counted from 1."""
    config = module.config
    last = ModelCheckpoint(run_dir, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    best = ModelCheckpoint(
        run_dir,
        filename="best",
        monitor="val_accuracy",
        mode="max",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    validate = len(validation) > 0
    display = progress_display() if progress else None
    callbacks: list[Callback] = [
        callback for callback in (best if validate else None, last, display) if callback is not None
    ]
    batches = loader(training, config.batch_size, seed=config.seed, shuffle=True)
    held_out = loader(validation, config.batch_size, seed=config.seed, shuffle=False) if validate else None
    resume_from = run_dir / LAST if resume and (run_dir / LAST).exists() else None
    with _quiet_lightning():
        trainer = lightning.Trainer(
            max_epochs=config.epochs,
            accelerator="auto",
            devices=1,
            callbacks=callbacks,
            logger=CSVLogger(run_dir, name="log"),
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_progress_bar=isinstance(display, TQDMProgressBar),
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, batches, held_out, ckpt_path=resume_from, weights_only=True)
    chosen = torch.load(run_dir / (BEST if validate else LAST), map_location="cpu", weights_only=True)
    module.load_state_dict(chosen["state_dict"])
    return int(chosen["epoch"]) + 1


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without its tips (on workers for data that is in memory already, on a folder that is meant to be filled)."""
    announcements = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = announcements.level
    announcements.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`")
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        yield
    announcements.setLevel(level)


def _learning(config: TrainingConfig, dataset: Dataset, samples: int, best_epoch: int) -> Learning:
    """What the card says of how the network learnt: the configuration's fields too."""
    told = {"name", "network", "mode", "dataset", "epochs", "seed", "learning_rate", "tau", "surrogate_alpha"}
    rest = config.model_dump(exclude=told, exclude_defaults=True, mode="json")
    return Learning(
        mode=config.mode,
        dataset=dataset.name,
        attribution=dataset.attribution,
        samples=samples,
        epochs=config.epochs,
        best_epoch=best_epoch,
        optimizer="adam",
        lr=config.learning_rate,
        seed=config.seed,
        **rest,
    )
