"""A training run before it starts: what the configuration and the data set decide together."""

from dataclasses import dataclass
from functools import cached_property

import torch

from contract.card import Card, EventEncoder, ImageEncoder, Layer, Learning, Metrics
from training.data import Dataset, Samples, split_train, stratified
from training.export.make_card import make_card
from training.learning.config import TrainingConfig
from training.snn.builder import build_network
from training.snn.layers import ChannelNorm
from training.snn.network import SpikingNetwork


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
    def parts(self) -> tuple[Samples, Samples]:
        """The part to train on and the part that chooses the epoch; `DataError` where a class is too small for both."""
        config, whole = self.config, self.dataset.train
        if config.train_samples is not None:
            whole = whole.subset(stratified(whole.labels, config.train_samples, config.seed))
        training, validation = split_train(whole.labels, config.validation_fraction, config.seed)
        return whole.subset(training), whole.subset(validation)

    def initial_network(self) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
        """The network before training, and its layers: a function of the seed alone, so sl, tl and stl start alike."""
        config, dataset = self.config, self.dataset
        torch.manual_seed(config.seed)
        network, layers = build_network(
            config.network,
            spec=dataset.input,
            encoder=self.encoder,
            neuron=config.neuron,
            classes=len(dataset.labels),
            norm=config.norm,
            bias=config.bias,
        )
        with torch.no_grad():
            for layer in network.spiking_layers().values():
                layer.neurons.threshold.normal_(config.threshold, config.threshold_std)
                if config.norm == "time" and isinstance(layer.norm, ChannelNorm):
                    layer.norm.norm.weight.fill_(config.threshold)
        return network, layers

    def card(self, layers: tuple[Layer, ...], voters: int, metrics: Metrics, best_epoch: int) -> Card:
        """The card of the trained network: `layers` and `voters` of the network, the metrics of its exported form."""
        return make_card(
            self.config.name,
            labels=self.dataset.labels,
            input=self.dataset.input,
            encoder=self.encoder,
            neuron=self.config.neuron,
            network=self.config.network,
            norm=self.config.norm,
            bias=self.config.bias,
            voters=voters,
            layers=layers,
            learning=self._learning(best_epoch),
            metrics=metrics,
        )

    def _learning(self, best_epoch: int) -> Learning:
        config = self.config
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
            threshold=config.threshold,
            threshold_std=config.threshold_std,
            batch_size=config.batch_size,
            learning_rate_decay=config.learning_rate_decay,
            weight_decay=config.weight_decay,
            bias_weight_decay=config.bias_weight_decay,
            threshold_weight_decay=config.threshold_weight_decay,
            threshold_learning_rate_multiplier=config.threshold_learning_rate_multiplier,
            threshold_floor=config.threshold_floor,
            validation_fraction=config.validation_fraction,
            shift=config.shift,
            event_drop=config.event_drop,
            train_samples=config.train_samples,
        )
