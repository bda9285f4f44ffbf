"""Engines: how a network is loaded and run."""
