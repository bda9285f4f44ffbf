"""Presets: one TOML file each, with fields of `training.learning.config.TrainingConfig`."""
