"""A client of the service: predictions, live streams, models, data sets and fine-tuning jobs. It needs no torch.

from stl_snn_client import Client

with Client() as client:
    answer = client.predict("digits-stl", "examples/digit.png")
    print(answer["predictions"][0]["label"])
"""

from stl_snn_client.async_client import AsyncClient
from stl_snn_client.client import Client
from stl_snn_client.errors import (
    ApiError,
    BadRequest,
    Conflict,
    ConnectionFailed,
    ConnectionTimeout,
    DeadlineExceeded,
    InsufficientStorage,
    Invalid,
    NotFound,
    Overloaded,
    ServiceFailure,
    ServiceUnreachable,
    SnnError,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from stl_snn_client.inputs import events, image, pixels, recording

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadRequest",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "ConnectionTimeout",
    "DeadlineExceeded",
    "InsufficientStorage",
    "Invalid",
    "NotFound",
    "Overloaded",
    "ServiceFailure",
    "ServiceUnreachable",
    "SnnError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "events",
    "image",
    "pixels",
    "recording",
]
