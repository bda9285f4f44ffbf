"""The id of a request, in its answer and in the log."""

import pytest

from service.telemetry import logs
from tests.service.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("given", ["abc", "A-1_b.2", "x" * 128])
async def test_a_sane_request_id_comes_back(client: Client, given: str) -> None:
    for path in ("/health/live", "/nothing"):
        answer = await client.get(path, headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é", "a/b"])
async def test_another_request_id_is_replaced(client: Client, given: str) -> None:
    headers = {b"X-Request-ID": given.encode("latin-1")}
    ids = [(await client.get("/health/live", headers=headers)).headers["x-request-id"] for _ in range(2)]
    assert given not in ids
    assert len(set(ids)) == 2
    assert all(len(each) == 32 for each in ids)


async def test_log_lines_carry_the_request_id_and_cannot_be_forged(client: Client, log_lines: list[str]) -> None:
    await client.get("/nothing%0Aforged", headers={"X-Request-ID": "mine"})
    [line] = log_lines
    assert line.startswith("mine: GET /nothing%0Aforged 404 ")


async def test_the_trace_of_a_request_is_known_while_it_is_served_and_not_after(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    caplog.handler.addFilter(logs.RequestIdFilter())
    with caplog.at_level("INFO", logger="service.http.entrance"):
        for headers in ({"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}, {}):
            await client.get("/nothing", headers=headers)
    assert [getattr(record, "trace_id", None) for record in caplog.records] == [trace, ""]
