"""One prediction, from inputs to numbers."""
