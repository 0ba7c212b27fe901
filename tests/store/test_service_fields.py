"""What the API may say of a service, and where its credentials belong."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.errors import InvalidFieldsError
from exporter.store.service_fields import checked, place

GOOD = {"client_id": 1, "name": "web", "endpoint_url": "https://web.example/health"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="only-what-must-be"),
        pytest.param({"endpoint_url": "http://[::1]:8080/a?b=c#d"}, id="ipv6"),
        pytest.param({"endpoint_url": "HTTP://web"}, id="scheme-in-capitals"),
        pytest.param({"cron_schedule": "0 3 * * 1-5"}, id="cron"),
        pytest.param({"cron_schedule": None, "expected_status_code": None}, id="nulls"),
        pytest.param({"basic_auth_username": None, "basic_auth_password": "p:ă"}, id="credentials"),
        pytest.param({"expected_status_code": 100, "timeout_ms": 1}, id="least"),
        pytest.param({"expected_status_code": 599, "timeout_ms": 300_000}, id="most"),
        pytest.param({"enabled": False}, id="disabled"),
    ],
)
def test_fields_that_are_taken(fields: dict[str, Any]) -> None:
    """They come back as they were given, nothing is added or bent."""
    assert checked(GOOD | fields, complete=True) == GOOD | fields


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        pytest.param({"id": 5}, "id: there is no such field", id="id"),
        pytest.param({"origin": "file"}, "origin: there is no such field", id="origin"),
        pytest.param({"revision": 5}, "revision: there is no such field", id="revision"),
        pytest.param({"client_id": "1"}, "client_id: it must be a whole number", id="client-text"),
        pytest.param({"client_id": True}, "client_id: it must be a whole number", id="client-bool"),
        pytest.param({"client_id": 2**63}, "client_id: it must be a whole number", id="client-huge"),
        pytest.param({"name": ""}, "name: it must have 1 to 255", id="name-empty"),
        pytest.param({"name": 5}, "name: it must be a text", id="name-number"),
        pytest.param({"endpoint_url": None}, "endpoint_url: it must be a text", id="url-null"),
        pytest.param({"endpoint_url": "x" * 2049}, "endpoint_url: it must be a text of 1 to 2048", id="url-long"),
        pytest.param({"endpoint_url": "web.example"}, "must begin with http://", id="url-without-scheme"),
        pytest.param({"endpoint_url": "ftp://web"}, "must begin with http://", id="url-ftp"),
        pytest.param({"endpoint_url": "file:///etc/passwd"}, "must begin with http://", id="url-file"),
        pytest.param({"endpoint_url": "http:///path"}, "must begin with http://", id="url-without-host"),
        pytest.param({"endpoint_url": "http://u:p@web/"}, "no user or password", id="url-password"),
        pytest.param({"endpoint_url": "http://u@web/"}, "no user or password", id="url-user"),
        pytest.param({"endpoint_url": "http://@web/"}, "no user or password", id="url-empty-user"),
        pytest.param({"endpoint_url": "http://good\\@evil/"}, "no blanks", id="url-backslash"),
        pytest.param({"endpoint_url": "http://web/\r\nX: y"}, "no blanks", id="url-line-end"),
        pytest.param({"endpoint_url": "http://web/a b"}, "no blanks", id="url-blank"),
        pytest.param({"endpoint_url": "http://web:0/"}, "must begin with http://", id="url-port-0"),
        pytest.param({"endpoint_url": "http://web:65536/"}, "host or port cannot be read", id="url-port-large"),
        pytest.param({"endpoint_url": "http://web:x/"}, "host or port cannot be read", id="url-port-word"),
        pytest.param({"endpoint_url": "http://[::1/"}, "host or port cannot be read", id="url-bracket"),
        pytest.param({"basic_auth_username": "a:b"}, "must hold no colon", id="user-colon"),
        pytest.param({"basic_auth_username": "a\n"}, "without control characters", id="user-line-end"),
        pytest.param({"basic_auth_password": "x" * 1025}, "at most 1024", id="password-long"),
        pytest.param({"basic_auth_password": 5}, "at most 1024", id="password-number"),
        pytest.param({"cron_schedule": "every day"}, "cron_schedule: ", id="cron-words"),
        pytest.param({"cron_schedule": "0 0 30 2 *"}, "cron_schedule: ", id="cron-never"),
        pytest.param({"cron_schedule": 5}, "cron_schedule: it must be a text", id="cron-number"),
        pytest.param({"enabled": 1}, "enabled: it must be true or false", id="enabled-number"),
        pytest.param({"expected_status_code": 99}, "from 100 to 599, or null", id="code-small"),
        pytest.param({"expected_status_code": 600}, "from 100 to 599, or null", id="code-large"),
        pytest.param({"expected_status_code": 200.0}, "from 100 to 599, or null", id="code-float"),
        pytest.param({"timeout_ms": 0}, "from 1 to 300000.", id="timeout-0"),
        pytest.param({"timeout_ms": 300_001}, "from 1 to 300000.", id="timeout-large"),
        pytest.param({"timeout_ms": None}, "from 1 to 300000.", id="timeout-null"),
    ],
)
def test_fields_that_are_refused(fields: dict[str, Any], sentence: str) -> None:
    """The sentence names the field and what it must be, and shows no credential."""
    with pytest.raises(InvalidFieldsError) as caught:
        checked(GOOD | fields, complete=True)
    assert sentence in str(caught.value)
    assert [field for field, _ in caught.value.problems] == list(fields)


def test_all_mistakes_at_once() -> None:
    """Whoever sends several mistakes reads of all of them; what must be there is asked of new services only."""
    with pytest.raises(InvalidFieldsError) as caught:
        checked({"name": "", "timeout_ms": -1}, complete=True)
    assert [field for field, _ in caught.value.problems] == ["name", "timeout_ms", "client_id", "endpoint_url"]
    assert checked({}, complete=False) == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("https://web/a", "https://web/b?c", True, id="another-path"),
        pytest.param("https://web/", "https://WEB:443", True, id="same-written-otherwise"),
        pytest.param("http://web/", "http://web:80/", True, id="default-port"),
        pytest.param("http://web./", "http://web/", True, id="root-dot"),
        pytest.param("https://web/", "http://web/", False, id="scheme"),
        pytest.param("https://web/", "https://web2/", False, id="host"),
        pytest.param("https://web/", "https://web:8443/", False, id="port"),
        pytest.param("http://web:443/", "https://web/", False, id="scheme-same-port"),
    ],
)
def test_place_of_a_credential(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a column of the table
    """It is scheme, host and port, however they are written."""
    assert (place(one) == place(other)) is same
