"""Uploaded data sets: storage and checks."""
