"""`/health`: whether the service answers."""

from typing import Literal

from stl_snn_client.answers import Health
from stl_snn_client.call import Call, read_json


def health(probe: Literal["ready", "live"] = "ready") -> Call[Health]:
    """The state of the service: whether it can answer (`ready`), or whether its process does (`live`).

    A service that is not ready is an `Unavailable` error, at once.
    """
    # A probe says how it is, rather than wait until it is better.
    return Call("GET", f"/health/{probe}", read_json, repeatable=False)
