"""Training of spiking networks with synapse-threshold synergistic learning."""
