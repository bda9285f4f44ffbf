"""Presets: one TOML file each, with fields of `training.config.TrainingConfig`."""
