"""Uploaded data sets, which are not trusted: their layout, and how they are checked and read."""
