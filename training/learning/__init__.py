"""Training from scratch: configuration, Lightning module, loop and run folder."""
