"""Log lines as text and as JSON, with the ids of request and trace."""

import json
import logging
from collections.abc import Iterator

import pytest

from service.http.entrance.passage import trace_of
from service.telemetry.logs import LogFormat, configure, request_id, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(capsys: pytest.CaptureFixture[str], form: LogFormat, trace: str = "") -> str:
    configure("info", form)
    tokens = request_id.set("mine"), trace_id.set(trace)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("a.b").exception("it \u2028 failed\n%d times", 3)
    request_id.reset(tokens[0])
    trace_id.reset(tokens[1])
    return capsys.readouterr().err


def test_a_json_line_has_everything_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = written(capsys, "json", TRACE).splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found.pop("exception").endswith("ValueError: two\nlines")
    assert found == {
        "level": "ERROR",
        "logger": "a.b",
        "request_id": "mine",
        "trace_id": TRACE,
        "message": "it \u2028 failed\n3 times",
    }
    assert "trace_id" not in json.loads(written(capsys, "json"))


def test_a_line_of_text_has_the_trace_beside_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"ERROR a.b [mine {TRACE}] it" in written(capsys, "text", TRACE)
    assert "ERROR a.b [mine] it" in written(capsys, "text")


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE}-00f067aa0ba902b7-01\n", ""),
        ("", ""),
    ],
)
def test_the_trace_is_that_of_a_valid_traceparent(sent: str, trace: str) -> None:
    assert trace_of({"traceparent": sent}) == trace
