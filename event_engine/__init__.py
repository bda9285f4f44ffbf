"""Runs an exported network by its spikes, without torch: each spike adds weights to the neurons that it reaches."""
