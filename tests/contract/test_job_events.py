import json
from pathlib import Path

import pytest

from contract.job_events import (
    EVENTS_FILE,
    ByAttempt,
    Cancelled,
    Data,
    EpochDone,
    Event,
    Failed,
    Killed,
    NotPromoted,
    Progress,
    Promoted,
    Published,
    Resumed,
    Started,
    Stopped,
    Unknown,
    Waiting,
    append_event,
    read_events,
)

WHERE = {"epoch": 1, "epochs": 2, "step": 12, "steps": 24}
MEASURED = {"loss": 0.09063149988651276, "accuracy": 0.3, "spikes_per_sample": 248.05, "baseline_accuracy": None}

# What the file holds of each kind: level, type and data, to the byte.
LINES: list[tuple[Data, str, str, str]] = [
    (Waiting(attempt=1), "info", "message", '{"kind":"waiting","attempt":1}'),
    (Started(attempt=1), "info", "message", '{"kind":"started","attempt":1}'),
    (
        Progress(attempt=1, epochs=2, step=3, steps=24, epoch=0, loss=None),
        "info",
        "message",
        '{"kind":"progress","attempt":1,"epochs":2,"step":3,"steps":24,"epoch":0,"loss":null}',
    ),
    (
        EpochDone.model_validate({**WHERE, **MEASURED, "attempt": 1}),
        "info",
        "metrics",
        '{"epoch":1,"epochs":2,"step":12,"steps":24,"loss":0.09063149988651276,"accuracy":0.3,'
        '"spikes_per_sample":248.05,"baseline_accuracy":null,"attempt":1}',
    ),
    (Published(attempt=1, model="m/2"), "info", "message", '{"kind":"published","attempt":1,"model":"m/2"}'),
    (
        Promoted(attempt=1, model="m/2", previous=1),
        "info",
        "message",
        '{"kind":"promoted","attempt":1,"model":"m/2","previous":1}',
    ),
    (
        NotPromoted(attempt=1, model="m/2", reason="it is worse"),
        "warn",
        "message",
        '{"kind":"not_promoted","attempt":1,"model":"m/2","reason":"it is worse"}',
    ),
    (
        Failed(attempt=1, code="diverged", param=None),
        "error",
        "message",
        '{"kind":"failed","attempt":1,"code":"diverged","param":null}',
    ),
    (Killed(signal=9), "warn", "message", '{"kind":"killed","signal":9}'),
    (Stopped(), "warn", "message", '{"kind":"stopped"}'),
    (Cancelled(), "info", "message", '{"kind":"cancelled"}'),
    (Resumed(), "info", "message", '{"kind":"resumed"}'),
]


@pytest.mark.parametrize(("data", "level", "type", "text"), LINES, ids=[type(line[0]).__name__ for line in LINES])
def test_each_kind_has_its_line_and_is_read_back(tmp_path: Path, data: Data, level: str, type: str, text: str) -> None:
    append_event(tmp_path, "words", data)
    line = (tmp_path / EVENTS_FILE).read_text()
    rest = line.partition(",")[2]  # without the time
    assert rest == f'"level":"{level}","type":"{type}","message":"words","data":{text}}}\n'
    [(end, event)] = read_events(tmp_path)
    assert end == len(line)
    assert event.data == data
    assert json.loads(event.model_dump_json()) == json.loads(line)
    assert isinstance(event.data, ByAttempt) == ('"attempt"' in text)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "migrated", "attempt": 2, "to": {"worker": [1, None]}},
        {"kind": "progress", "step": 1},
        {"kind": "progress", "attempt": "1", "epochs": 2, "step": 3, "steps": 24, "epoch": 0, "loss": None},
        {"kind": 3},
        {**WHERE, "accuracy": 0.5},
    ],
)
def test_data_of_another_release_is_kept_as_it_is(data: dict[str, object]) -> None:
    event = Event.model_validate_json(json.dumps({"created_at": 1.5, "message": "words", "data": data}))
    assert isinstance(event.data, Unknown)
    assert event.data.model_dump(mode="json") == data


def test_a_known_kind_keeps_the_fields_of_a_newer_release() -> None:
    data = {"kind": "killed", "signal": 9, "core_dumped": True}
    event = Event.model_validate_json(json.dumps({"created_at": 1.5, "message": "words", "data": data}))
    assert isinstance(event.data, Killed)
    assert event.data.model_dump(mode="json") == data


def test_lines_that_are_not_events_are_skipped_and_a_torn_one_does_not_spoil_the_next(tmp_path: Path) -> None:
    file = tmp_path / EVENTS_FILE
    file.write_bytes(b'[1]\nnot JSON\n{"created_at": 1, "message": "m", "more": 1}\n\xff\n{"created_at": 1, "mess')
    append_event(tmp_path, "whole", Stopped())
    assert [event.message for _, event in read_events(tmp_path)] == ["whole"]
    assert list(read_events(tmp_path / "nothing")) == []


def test_the_metrics_of_an_epoch_leave_out_what_is_unknown() -> None:
    done = EpochDone.model_validate({**WHERE, **MEASURED, "attempt": 1})
    assert done.metrics == {name: value for name, value in MEASURED.items() if value is not None}
