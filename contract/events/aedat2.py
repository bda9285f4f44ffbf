"""AEDAT 2.0 of jAER: lines of '#', then big-endian pairs of a 32-bit address and a 32-bit time in µs.

The meaning of an address depends on the camera, which the file does not reliably identify, so the caller names it.
Layouts: https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import check_count, check_events, unordered_events
from contract.events.headers import text_header

RECORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Camera:
    """The layout of an address: shift and mask of each field, and the bits that mark other records."""

    width: int
    height: int
    x_shift: int
    x_mask: int
    y_shift: int
    y_mask: int
    p_shift: int
    other: int


def _davis(width: int, height: int) -> Camera:
    # Bit 31 marks frames and inertial samples, bit 10 an external signal.
    return Camera(
        width, height, x_shift=12, x_mask=0x3FF, y_shift=22, y_mask=0x1FF, p_shift=11, other=1 << 31 | 1 << 10
    )


CAMERAS = {
    "dvs128": Camera(128, 128, x_shift=1, x_mask=0x7F, y_shift=8, y_mask=0x7F, p_shift=0, other=1 << 15),
    "davis240": _davis(240, 180),
    "davis346": _davis(346, 260),
    "davis640": _davis(640, 480),
}


def read(data: bytes, max_events: int, camera: str | None) -> NDArray[np.int64]:
    """The polarity events of `camera` (a key of `CAMERAS`), int64 `[N, 4]`, x and y as recorded.

    Frames, inertial samples and external signals are skipped. Raises `InvalidEvents` with param `camera` if the camera
    is missing or unknown.
    """
    if camera not in CAMERAS:
        raise InvalidEvents(
            f"the layout of AEDAT 2.0 addresses depends on the camera: name the camera, one of "
            f"{', '.join(CAMERAS)}" + (f"; {camera!r} is not one of them" if camera else ""),
            param="camera",
        )
    layout = CAMERAS[camera]
    start = len(text_header(data, "#", b"#End Of ASCII Header"))
    if (len(data) - start) % RECORD_BYTES:
        raise InvalidEvents(
            f"an AEDAT 2.0 record has 8 bytes: the {len(data) - start} bytes from byte {start} on end "
            f"inside record {(len(data) - start) // RECORD_BYTES}"
        )
    records = np.frombuffer(data, ">u4", offset=start).reshape(-1, 2)
    polarity = records[:, 0] & np.uint32(layout.other) == 0
    check_count(int(np.count_nonzero(polarity)), max_events)
    address = records[polarity, 0].astype(np.int64)
    events = unordered_events(
        records[polarity, 1].astype(np.int32),
        address >> layout.x_shift & layout.x_mask,
        address >> layout.y_shift & layout.y_mask,
        address >> layout.p_shift & 1,
    )
    return check_events(events, layout.width, layout.height, channels=2)
