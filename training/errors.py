"""The errors of training, in a module without torch, so that the command line can report them without loading torch."""


class DataError(Exception):
    """Data is missing or invalid; the message names the file and says what would be right."""


class ConfigError(Exception):
    """A configuration is invalid; the message names the field and says what would be right."""


class DivergedError(Exception):
    """Training ended in numbers that are not finite."""
