"""Processes in which work on strangers' data runs, with bounds on its memory, and which can be killed at any time."""
