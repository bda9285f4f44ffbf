"""What the service and training agree on. Neither imports the other; both import this, and this imports neither."""
