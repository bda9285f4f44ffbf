"""What strangers do to the service, and how honest clients fare meanwhile."""
