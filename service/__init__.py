"""HTTP service for spiking networks trained with synapse-threshold synergistic learning."""
