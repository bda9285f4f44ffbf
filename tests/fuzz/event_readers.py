"""Coverage-guided fuzzing of the readers of event recordings, with atheris: `make fuzz`.

Whatever the bytes, a reader answers with events that keep the rules, or with one of the two errors that a caller is
told. Starts from a valid recording of each format; what breaks a reader is left as a file `crash-...`.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["contract.events"]):
    from tests.contract.events.hostile import CASES, read_or_refuse

from contract.events import CAMERAS, FORMATS

CHOICES = [None, *FORMATS]
CAMERA_CHOICES = [None, *CAMERAS]


def one_input(data: bytes) -> None:
    """The first byte chooses the format that is asked for, the second the camera."""
    if len(data) >= 2:
        read_or_refuse(data[2:], CHOICES[data[0] % len(CHOICES)], CAMERA_CHOICES[data[1] % len(CAMERA_CHOICES)])


def main() -> None:
    """Fuzz with libFuzzer's arguments, such as `-max_total_time=300`."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, (format, data) in enumerate(CASES):
            for choice in (0, CHOICES.index(format)):
                Path(corpus, f"{number}-{choice}").write_bytes(bytes([choice, 1]) + data)
        atheris.Setup([sys.argv[0], corpus, "-max_len=4096", "-timeout=20", *sys.argv[1:]], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
