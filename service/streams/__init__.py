"""Live streams: events in as they come, a decision for each time step out."""
