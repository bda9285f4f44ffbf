"""From a trained network to a checkpoint and its card."""
