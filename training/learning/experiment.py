"""A training run before it starts: what the configuration and the data set decide together."""

from dataclasses import dataclass
from functools import cached_property

import torch

from contract.card import Card, EventEncoder, ImageEncoder, Layer, Learning, Metrics
from contract.layer_statistics import LayerStatistics
from contract.structure import parse_structure
from contract.workload import Workload
from training.data import Bins, Dataset, Samples, divide, stratified
from training.data.batches import make_batch
from training.data.bins import network_input
from training.export.make_card import make_card
from training.learning.balance import balance_thresholds
from training.learning.config import TrainingConfig
from training.snn.builder import build_network
from training.snn.encode import EventInput, build_encoder
from training.snn.layers import ChannelNorm
from training.snn.network import SpikingNetwork
from training.snn.parameters import ParameterCounter

BALANCING_SAMPLES = 100


@dataclass(frozen=True)
class Experiment:
    """A configuration and the data set that it trains on."""

    config: TrainingConfig
    dataset: Dataset

    @cached_property
    def encoder(self) -> ImageEncoder | EventEncoder:
        """The encoder for the data set's input; `ConfigError` where the configuration does not fit it."""
        return self.config.encoder(self.dataset.input)

    @cached_property
    def parameters_to_match(self) -> int | None:
        """The number of parameters that learn with `mode=stl`, where the network is widened to have as many."""
        if not self.config.match_parameters:
            return None
        both = self._counter.count(parse_structure(self.config.network))
        return both.weights + both.thresholds

    @cached_property
    def structure(self) -> str:
        """The network's structure: the configured one, or a wider one with `match_parameters`; `StructureError`."""
        if self.parameters_to_match is None:
            return self.config.network
        return self._counter.widen(self.config.network, self.parameters_to_match)

    @property
    def _counter(self) -> ParameterCounter:
        config = self.config
        return ParameterCounter(
            self.dataset.input,
            len(self.dataset.labels),
            norm=config.norm,
            bias=config.bias,
            scope=config.threshold_scope,
            analog_input=self.encoder.max_input > 1,
        )

    @cached_property
    def parts(self) -> tuple[Samples, Samples]:
        """The part to train on and the part that chooses the epoch; `DataError` where a class is too small for both."""
        config, whole = self.config, self.dataset.train
        training, validation = divide(
            whole.labels, count=config.train_samples, validation_fraction=config.validation_fraction, seed=config.seed
        )
        return whole.subset(training), whole.subset(validation)

    @cached_property
    def initial_thresholds(self) -> dict[str, float]:
        """The mean initial threshold of each layer by name, as given, or found from samples of all classes."""
        config = self.config
        network, _ = self._untrained_network()
        if config.threshold_init == "constant":
            return dict.fromkeys(network.spiking_layers(), config.threshold)
        samples = self.parts[0]
        inputs, labels = make_batch(samples, stratified(samples.labels, BALANCING_SAMPLES, config.seed))
        encoder = build_encoder(self.dataset.input, self.encoder)
        if isinstance(samples, Bins):
            x = network_input(inputs)
        elif isinstance(encoder, EventInput):
            x = encoder.events(inputs, len(labels))
        else:
            x = encoder.image(inputs, torch.arange(len(labels)))
        return balance_thresholds(network, x, config.initial_rate)

    def initial_network(self) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
        """The network before training, and its layers: a function of the seed alone, so sl, tl and stl start alike."""
        config, thresholds = self.config, self.initial_thresholds
        network, layers = self._untrained_network()
        with torch.no_grad():
            for name, layer in network.spiking_layers().items():
                layer.neurons.threshold.normal_(thresholds[name], config.threshold_std)
                if config.norm == "time" and isinstance(layer.norm, ChannelNorm):
                    layer.norm.norm.weight.fill_(config.threshold)
        return network, layers

    def _untrained_network(self) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
        """A network with its initial weights, and thresholds of one."""
        config, dataset = self.config, self.dataset
        torch.manual_seed(config.seed)
        return build_network(
            self.structure,
            spec=dataset.input,
            encoder=self.encoder,
            neuron=config.neuron,
            classes=len(dataset.labels),
            norm=config.norm,
            bias=config.bias,
        )

    def card(
        self,
        layers: tuple[Layer, ...],
        voters: int,
        metrics: Metrics,
        statistics: tuple[LayerStatistics, ...],
        workload: Workload,
        best_epoch: int,
    ) -> Card:
        """The card of the trained network: `layers` and `voters` of the network, measurements of its exported form."""
        return make_card(
            self.config.name,
            labels=self.dataset.labels,
            input=self.dataset.input,
            encoder=self.encoder,
            neuron=self.config.neuron,
            network=self.structure,
            norm=self.config.norm,
            bias=self.config.bias,
            voters=voters,
            layers=layers,
            learning=self._learning(best_epoch),
            metrics=metrics,
            statistics=statistics,
            workload=workload,
        )

    def _learning(self, best_epoch: int) -> Learning:
        config = self.config
        of_events = self.dataset.input.kind == "events"
        return Learning(
            mode=config.mode,
            dataset=self.dataset.name,
            attribution=self.dataset.attribution,
            samples=len(self.parts[0]),
            epochs=config.epochs,
            best_epoch=best_epoch,
            optimizer="adam",
            lr=config.learning_rate,
            seed=config.seed,
            threshold=config.threshold if config.threshold_init == "constant" else None,
            threshold_std=config.threshold_std,
            initial_thresholds=self.initial_thresholds if config.threshold_init == "balanced" else None,
            batch_size=config.batch_size,
            learning_rate_decay=None if config.learning_rate_schedule == "cosine" else config.learning_rate_decay,
            learning_rate_schedule=config.learning_rate_schedule,
            loss=config.loss,
            operation_penalty=config.operation_penalty,
            weight_decay=config.weight_decay,
            bias_weight_decay=config.bias_weight_decay,
            threshold_weight_decay=config.threshold_weight_decay,
            threshold_learning_rate_multiplier=config.threshold_learning_rate_multiplier,
            threshold_floor=config.threshold_floor,
            validation_fraction=config.validation_fraction,
            flip=config.flip,
            shift=config.shift,
            event_drop=config.event_drop,
            train_samples=config.train_samples,
            downsample=config.downsample if of_events else None,
            storage=("bins" if config.holds_bins else "events") if of_events else None,
            shuffled_bins=config.shuffled_bins if of_events else None,
        )
