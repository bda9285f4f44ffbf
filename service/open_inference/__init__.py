"""The Open Inference Protocol, version 2: its requests and responses, for every transport."""
