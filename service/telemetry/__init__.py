"""Metrics, logs and measured energy, for operators."""
