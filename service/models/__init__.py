"""Which models and versions there are, and which of them are in memory."""
