import wave
from pathlib import Path

import numpy as np
import pytest

from training.data import DataError, Recordings, load_dataset
from training.data.sound_events import BANDS, HOP_S, LEVEL_DB, LEVELS, log_mel, mel_filters, sound_events

RATE = 8000
REAL_DATA = Path(__file__).parents[4] / "shared" / "data"


def tone(frequency: float, seconds: float = 0.3, loudness: float = 8000) -> np.ndarray:
    return loudness * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def save(path: Path, samples: np.ndarray, *, rate: int = RATE, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def test_mel_bands_cover_the_spectrum_and_a_tone_is_loudest_in_its_band() -> None:
    filters = mel_filters(RATE, 512)
    assert filters.shape == (257, BANDS)
    assert (filters > 0).any(axis=0).all()
    centres = np.array([float(np.average(np.fft.rfftfreq(512, 1 / RATE), weights=band)) for band in filters.T])
    for frequency in (200, 1000, 3000):
        loudest = log_mel(tone(frequency), RATE)[5].argmax()
        assert loudest == np.abs(centres - frequency).argmin()


def test_events_are_the_crossings_of_levels() -> None:
    sound = np.concatenate([tone(500, 0.2, 20), tone(500, 0.2), tone(500, 0.2, 20)])
    events = sound_events(sound, RATE)
    assert bool((np.diff(events[:, 0]) >= 0).all())
    energy = log_mel(sound, RATE)
    band = int(energy[20].argmax())
    mine = events[events[:, 2] == band]
    # a difference of 52 dB: all levels are crossed on the way up, in order, and again on the way down
    assert mine[:, 3].tolist() == [1] * LEVELS + [0] * LEVELS
    assert mine[:, 1].tolist() == [*range(LEVELS), *reversed(range(LEVELS))]
    for time, level, _, rises in mine:
        frame = time * 1e-6 / HOP_S
        value = np.interp(frame, np.arange(len(energy)), energy[:, band])
        assert value == pytest.approx(energy.max() - LEVEL_DB * (LEVELS - level), abs=0.01)
        assert (0.15 < time * 1e-6 < 0.21) if rises else (0.35 < time * 1e-6 < 0.41)


def test_events_do_not_depend_on_loudness_and_start_with_the_sound() -> None:
    quiet, loud = (sound_events(tone(800, 0.1, loudness), RATE) for loudness in (1000, 9000))
    assert np.array_equal(quiet, loud)
    assert quiet[:LEVELS, 0].tolist() == [0] * LEVELS
    short = sound_events(tone(800, 0.004), RATE)
    assert len(short) > 0


@pytest.mark.parametrize(("indices", "tested"), [(range(6), [0, 1]), (range(12), [0, 1, 2, 3, 4])])
def test_the_first_recordings_of_a_digit_and_speaker_are_the_test_part(
    tmp_path: Path, indices: range, tested: list[int]
) -> None:
    for index in indices:
        for digit, speaker in ((0, "ann"), (7, "bob")):
            save(tmp_path / "recordings" / f"{digit}_{speaker}_{index}.wav", tone(300 + 100 * index, 0.05))
    data = load_dataset("spoken-digits", tmp_path)
    assert isinstance(data.test, Recordings)
    assert data.input.shape == (2, BANDS, LEVELS)
    assert data.labels == tuple("0123456789")
    assert data.test.labels.tolist() == [digit for digit in (0, 7) for _ in tested]
    assert len(data.train) == 2 * (len(indices) - len(tested))
    assert np.array_equal(data.test[1], sound_events(np.trunc(tone(400, 0.05)), RATE))


def broken(path: Path, kind: str) -> None:
    save(path, tone(500, 0.05))
    match kind:
        case "rate":
            save(path, tone(500, 0.05), rate=16000)
        case "stereo":
            save(path, tone(500, 0.05), channels=2)
        case "silent":
            save(path, np.zeros(400))
        case "empty":
            save(path, np.zeros(0))
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
        case "header":
            path.write_bytes(path.read_bytes()[:20])
        case _:
            path.write_bytes(b"no sound")


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("rate", "16000 Hz, 1 channels, 2 bytes a sample; expected 8000 Hz"),
        ("stereo", "8000 Hz, 2 channels"),
        ("silent", "the recording is silent"),
        ("empty", "the recording is silent"),
        ("cut", "the header says it has 400 samples; 350 follow"),
        ("header", "not a WAV recording, or truncated"),
        ("text", "not a WAV recording, or truncated"),
    ],
)
def test_a_broken_recording_is_refused_by_name(tmp_path: Path, kind: str, complaint: str) -> None:
    broken(tmp_path / "3_ann_0.wav", kind)
    with pytest.raises(DataError, match=rf"3_ann_0\.wav: .*{complaint}"):
        load_dataset("spoken-digits", tmp_path)


def test_wrong_names_and_absent_data_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looked for the recordings 0_george_0\.wav .*Jakobovski"):
        load_dataset("spoken-digits", tmp_path)
    save(tmp_path / "3_ann_0.wav", tone(500, 0.05))
    save(tmp_path / "three.wav", tone(500, 0.05))
    with pytest.raises(DataError, match=r"three\.wav: a recording is named <digit>_<speaker>_<index>\.wav"):
        load_dataset("spoken-digits", tmp_path)


@pytest.mark.skipif(not (REAL_DATA / "spoken").is_dir(), reason="the real data set is not here")
def test_the_real_part_is_cut_as_its_description_says() -> None:
    data = load_dataset("spoken-digits", REAL_DATA)
    assert isinstance(data.train, Recordings)
    assert (len(data.train), len(data.test)) == (480, 120)
    assert data.train.labels.bincount().tolist() == [48] * 10
    assert 480 < int(data.train.lengths.min()) < int(data.train.lengths.max()) < 2000
