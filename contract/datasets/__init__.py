"""Data sets from strangers: how an upload is laid out, checked and read."""
