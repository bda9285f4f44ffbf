"""What training raises, in a module without torch, so that the command line reports it without loading torch."""


class DataError(Exception):
    """Data that is missing or not what it should be; the message names the file and says what would be right."""


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the field and says what would be right."""


class StructureError(ValueError):
    """A structure string that names no network."""


class DivergedError(Exception):
    """A network that training has driven to numbers that are not finite."""
