"""Measurements of accuracy and speed; programs, not a library."""
