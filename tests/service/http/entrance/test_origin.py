from pathlib import Path
from typing import Any

import pytest

from contract.settings import Settings
from service.http.entrance.origin import OriginCheck
from service.http.failures import HTTP_STATUS
from tests.service.serving import serving

LOCAL = {"host": "localhost"}


def refusal(headers: dict[str, str], *hosts: str) -> str | None:
    error = OriginCheck(hosts or ("localhost",)).refusal(headers)
    return None if error is None else error.code


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:8000"},
        {"host": "LocalHost."},
        {"host": "127.0.0.1:8000"},
        {"host": "127.9.9.9"},
        {"host": "[::1]:8000"},
        {"host": "snn.localhost"},
        LOCAL | {"origin": "http://localhost:3000"},
        LOCAL | {"origin": "https://127.0.0.1"},
        LOCAL | {"sec-fetch-site": "same-origin"},
        LOCAL | {"sec-fetch-site": "none"},
    ],
    ids=str,
)
def test_this_computer_may_call_a_service_on_loopback(headers: dict[str, str]) -> None:
    assert refusal(headers) is None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "evil.example"}, "foreign_host"),
        ({"host": "localhost.evil.example"}, "foreign_host"),
        ({"host": "evillocalhost"}, "foreign_host"),
        ({"host": "127.0.0.1.evil.example:8000"}, "foreign_host"),
        ({"host": "192.168.0.1"}, "foreign_host"),
        ({"host": "[::2]"}, "foreign_host"),
        ({"host": "[::1"}, "foreign_host"),
        (LOCAL | {"origin": "http://evil.example"}, "foreign_origin"),
        (LOCAL | {"origin": "null"}, "foreign_origin"),
        (LOCAL | {"origin": "http://localhost.evil.example"}, "foreign_origin"),
        (LOCAL | {"sec-fetch-site": "cross-site"}, "foreign_origin"),
    ],
    ids=str,
)
def test_pages_of_other_sites_may_not(headers: dict[str, str], code: str) -> None:
    assert (refusal(headers), HTTP_STATUS[code]) == (code, 403)


def test_further_hosts_may_be_named() -> None:
    assert refusal({"host": "SNN.example:80", "origin": "https://snn.example"}, "snn.example") is None


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 403),
        ({"allowed_hosts": ("*",)}, 200),
        ({"allowed_hosts": ("evil.example",)}, 200),
        ({"host": "0.0.0.0"}, 200),
        ({"host": "0.0.0.0", "allowed_hosts": ("snn.example",)}, 403),
        ({"api_keys": "key"}, 200),
        ({"api_keys": "key", "allowed_hosts": ("snn.example",)}, 403),
    ],
    ids=str,
)
async def test_only_an_open_service_on_loopback_looks_at_hosts_unless_it_is_told_to(
    tiny_store_root: Path, settings: dict[str, Any], status: int
) -> None:
    headers = {"host": "Evil.example:80", "origin": "http://evil.example", "authorization": "Bearer key"}
    async with serving(tiny_store_root, preload=(), **settings) as client:
        answer = await client.get("/v1/models", headers=headers)
        assert answer.status_code == status
        assert "x-request-id" in answer.headers


@pytest.mark.parametrize(
    ("chosen", "hosts"),
    [
        ({}, ("localhost", "127.0.0.1")),
        ({"host": "Localhost"}, ("localhost", "localhost")),
        ({"host": "0.0.0.0"}, ("*",)),
        ({"api_keys": "a"}, ("*",)),
        ({"host": "10.0.0.1", "allowed_hosts": "A.b, c"}, ("localhost", "10.0.0.1", "a.b", "c")),
    ],
    ids=str,
)
def test_the_hosts_follow_from_the_settings(chosen: dict[str, Any], hosts: tuple[str, ...]) -> None:
    assert Settings(**chosen).hosts() == hosts
