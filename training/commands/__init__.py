"""The commands of `python -m training`; each module adds its own to the parser."""
