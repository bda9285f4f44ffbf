"""Uploaded data sets: storage and inspection."""
