"""The service's failures as exceptions."""

import pytest

from service.http.failures import HTTP_STATUS
from stl_snn_client import ApiError, Client, NotFound, SnnError, Unauthorized
from stl_snn_client.errors import STATUS_OF_CODE, error_of_code, error_of_response
from tests.stl_snn_client.running import Service
from tests.stl_snn_client.scripted import response, scripted


def test_the_table_is_that_of_the_service_and_each_status_has_a_class() -> None:
    assert STATUS_OF_CODE == HTTP_STATUS
    for code, status in STATUS_OF_CODE.items():
        error = error_of_code({"code": code, "message": "no", "param": None})
        assert type(error) is not ApiError
        assert (error.code, error.status) == (code, status)


def test_what_the_service_reports_is_raised_with_all_it_says(client: Client) -> None:
    with pytest.raises(NotFound) as raised:
        client.model("nothing")
    error = raised.value
    assert (error.code, error.status, error.param) == ("model_not_found", 404, "name")
    assert error.request_id
    assert str(error) == f"{error.message} (model_not_found, request {error.request_id})"
    assert isinstance(error, SnnError)


def test_a_key_is_taken_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_API_KEY", raising=False)
    with Client(service.url) as client:
        assert client.health("live")["status"] == "live"
        with pytest.raises(Unauthorized):
            client.models()
    monkeypatch.setenv("SNN_API_KEY", "right")
    with Client(service.url) as client:
        assert client.models()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": "no"}', b'{"error": {"code": "x"}}', b""])
def test_a_failure_of_a_proxy_is_an_error_too(body: bytes) -> None:
    error = error_of_response(502, body, {})
    assert (type(error), error.code, error.status) == (ApiError, "unknown", 502)


def test_a_redirection_is_no_answer() -> None:
    with scripted(response(302, b"<html>", Location="http://127.0.0.1:1/")) as server, Client(server.url) as client:
        with pytest.raises(ApiError) as raised:
            client.models()
        assert (raised.value.code, raised.value.status) == ("unknown", 302)


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="http://"):
        Client("localhost:8000")
