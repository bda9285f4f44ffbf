"""Predictions: from inputs to numbers."""
