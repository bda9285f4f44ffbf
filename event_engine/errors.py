"""Why a network is not run by this engine."""


class Unsuitable(Exception):
    """The engine cannot run the network exactly, or not on this machine; the message gives the reason."""
