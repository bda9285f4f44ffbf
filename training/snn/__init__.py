"""The spiking network: neurons, layers, encoders and structure strings, all scriptable."""
