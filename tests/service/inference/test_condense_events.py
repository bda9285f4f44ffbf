import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.card import EventEncoder, InputSpec
from service.inference.condense_events import condense
from training.snn.encode import EventInput

SPEC = InputSpec(kind="events", channels=2, height=2, width=3)
ENCODERS = [
    EventEncoder(binning=binning, step_us=step_us, bin_value=value, timesteps=3)
    for binning, step_us in (("step", 10), ("span", None))
    for value in ("binary", "count")
]


def encoded(events: np.ndarray, encoder: EventEncoder) -> torch.Tensor:
    rows = np.column_stack([np.zeros(len(events), np.int64), events])
    return EventInput(SPEC, encoder).events(torch.from_numpy(rows), 1)


@st.composite
def recordings(draw: st.DrawFn) -> np.ndarray:
    rows = draw(st.lists(st.tuples(*(st.integers(0, n) for n in (12, 2, 1, 1))), min_size=1, max_size=60))
    repeats = draw(st.lists(st.integers(1, 300), min_size=len(rows), max_size=len(rows)))
    events = np.repeat(np.array(rows, np.int64), repeats, axis=0)
    events[:, 0] = np.cumsum(events[:, 0]) // draw(st.integers(1, 200)) + draw(st.integers(0, 2**61))
    return events


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@given(events=recordings())
def test_the_network_gets_the_same_input(encoder: EventEncoder, events: np.ndarray) -> None:
    assert torch.equal(encoded(condense(events, encoder, SPEC), encoder), encoded(events, encoder))


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_a_pixel_that_never_rests_leaves_one_event_a_bin_or_as_many_as_are_counted(encoder: EventEncoder) -> None:
    events = np.zeros((100_000, 4), np.int64)
    events[:, 0] = np.arange(100_000) // 1000

    left = len(condense(events, encoder, SPEC))

    assert left == {"binary": 3, "count": 3 * 255}[encoder.bin_value] + (encoder.binning == "span")
