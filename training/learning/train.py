"""One training run: data, network, the loop with its saved states, and at the end a published checkpoint."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger

from contract.card import Card, Layer, Learning, read_card
from contract.store import Store
from training.data import Dataset, Images, Recordings, split_train
from training.export.checkpoint import find_published, publish, script
from training.export.evaluate import evaluate, metrics
from training.export.provenance import provenance
from training.learning.config import TrainingConfig
from training.learning.loop import fit
from training.learning.module import SpikingModule
from training.learning.progress import progress_display
from training.learning.run_folder import LOG_FOLDER, SavedStates, close_run, open_run
from training.snn.builder import build_network
from training.snn.encode import build_encoder
from training.snn.network import SpikingNetwork


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
    `resume` and ends with the same weights. What it kept is removed once the version is published. Raises
    `ConfigError` where the configuration does not fit the data, or the folder holds anything that this call would lose
    or cannot go on with; `DivergedError` where training ended in numbers that are not finite.
    """
    training, validation = _split(config, dataset)
    network, layers = initial_network(config, dataset)
    encoder = config.encoder(dataset.input)
    module = SpikingModule(network, build_encoder(dataset.input, encoder), config)
    with open_run(run_dir, config, resume=resume):
        best_epoch = _fit(module, training, validation, run_dir, resume=resume, progress=progress)
        version = find_published(store, config.name, network) if resume else None
        if version is None:
            card, scripted = _measured(config, dataset, module, layers, training, validation, best_epoch)
            version = publish(store, card, scripted, network)
    close_run(run_dir)
    return Published(version, read_card(store.checkpoint_path(config.name, version)))


def _measured(
    config: TrainingConfig,
    dataset: Dataset,
    module: SpikingModule,
    layers: tuple[Layer, ...],
    training: Images | Recordings,
    validation: Images | Recordings,
    best_epoch: int,
) -> tuple[Card, torch.jit.ScriptModule]:
    """The scripted inference form and its card, with what it scores on the test part and on the validation part."""
    encoder = config.encoder(dataset.input)
    network = module.network.eval()
    scripted = script(network, module.encoder)
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
    return card, scripted


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
    """Run the loop, shown on the terminal and logged as CSV."""
    display = progress_display() if progress else None
    return fit(
        module,
        training,
        validation,
        run_dir,
        callbacks=[SavedStates(run_dir), *([] if display is None else [display])],
        device=torch.device("cuda:0" if torch.cuda.is_available() else "cpu"),
        resume=resume,
        progress_bar=isinstance(display, TQDMProgressBar),
        logger=CSVLogger(run_dir, name=LOG_FOLDER),
    )


def _learning(config: TrainingConfig, dataset: Dataset, samples: int, best_epoch: int) -> Learning:
    """What the card says of how the network learnt: the fields of the configuration that it does not name elsewhere."""
    elsewhere = {"name", "dataset", "image_shape", "network", "mode", "threshold_scope", "tau", "surrogate_alpha"}
    elsewhere |= {"timesteps", "coding", "binning", "step_us", "bin_value", "epochs", "learning_rate", "seed"}
    rest = config.model_dump(exclude=elsewhere, exclude_none=True)
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
