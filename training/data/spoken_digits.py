"""Spoken digits: the Free Spoken Digit Dataset, `<digit>_<speaker>_<index>.wav`, as events of a spiking front end."""

import re
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.data.dataset import Dataset
from training.data.event_options import EventOptions, Events, Held, find_folder
from training.data.sound_events import BANDS, LEVELS, sound_events
from training.errors import DataError

RATE, SAMPLE_BYTES = 8_000, 2
WIDTH, HEIGHT = LEVELS, BANDS
LABELS = tuple("0123456789")
FOLDERS = ("spoken", "spoken-digits", "free-spoken-digit-dataset/recordings", "recordings")
TEST_RECORDINGS, WHOLE = 5, 10  # of each digit and speaker, if there are more than `WHOLE`
TEST_RECORDINGS_OF_PART = 2
ATTRIBUTION = "Free Spoken Digit Dataset: Zohar Jackson et al., CC BY-SA 4.0"
WEB_PAGE = "https://github.com/Jakobovski/free-spoken-digit-dataset"

_NAME = re.compile(r"([0-9])_([^_]+)_(\d+)\.wav")

Recording = tuple[int, Path]


def load_spoken_digits(data_dir: Path | None, options: EventOptions) -> Dataset:
    """Load the recordings from one of `FOLDERS` below `data_dir`, or from `data_dir` itself.

    As published, the recordings 0 to 4 of each digit and speaker are the test part. Where there are no more than ten of
    each, only 0 and 1 are. Raises `DataError` that names what is missing or broken; nothing is downloaded.
    """
    folder = find_folder(
        data_dir,
        FOLDERS,
        lambda folder: any(folder.glob("[0-9]_*.wav")),
        looked_for="the recordings 0_george_0.wav and so on",
        web_page=WEB_PAGE,
    )
    numbered: list[tuple[int, Recording]] = []
    for path in sorted(folder.glob("*.wav")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise DataError(f"{path}: a recording is named <digit>_<speaker>_<index>.wav")
        numbered.append((int(match[3]), (int(match[1]), path)))
    tested = TEST_RECORDINGS if max(index for index, _ in numbered) >= WHOLE else TEST_RECORDINGS_OF_PART
    train, test = (
        _hold([recording for index, recording in numbered if (index < tested) == is_test], options)
        for is_test in (False, True)
    )
    return Dataset("spoken-digits", LABELS, options.input(WIDTH, HEIGHT), train, test, ATTRIBUTION)


def _hold(part: Sequence[Recording], options: EventOptions) -> Held:
    return options.hold((_read(path) for _, path in part), [digit for digit, _ in part], WIDTH, HEIGHT)


def _read(path: Path) -> Events:
    try:
        with wave.open(str(path)) as file:
            format = file.getframerate(), file.getnchannels(), file.getsampwidth()
            data, expected = file.readframes(file.getnframes()), file.getnframes()
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"{path}: not a WAV recording, or truncated: {error}") from error
    if format != (RATE, 1, SAMPLE_BYTES):
        raise DataError(
            f"{path}: {format[0]} Hz, {format[1]} channels, {format[2]} bytes a sample; "
            f"expected {RATE} Hz, one channel, {SAMPLE_BYTES} bytes"
        )
    if len(data) != expected * SAMPLE_BYTES:
        raise DataError(f"{path}: the header says it has {expected} samples; {len(data) // SAMPLE_BYTES} follow")
    samples = np.frombuffer(data, "<i2").astype(np.float64)
    if not samples.any():
        raise DataError(f"{path}: the recording is silent")
    return sound_events(samples, RATE)
