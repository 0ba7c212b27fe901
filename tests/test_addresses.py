"""Addresses of what is probed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import addresses
from exporter.addresses import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        pytest.param("127.0.0.1:5672", "127.0.0.1", 5672, id="ipv4"),
        pytest.param("db.example:1", "db.example", 1, id="name"),
        pytest.param("[2001:db8::1]:65535", "2001:db8::1", 65535, id="ipv6"),
        pytest.param("[fe80::1%eth0]:22", "fe80::1%eth0", 22, id="ipv6 with a zone"),
        pytest.param("bücher.example:443", "bücher.example", 443, id="international name"),
        pytest.param("under_score:80", "under_score", 80, id="a container's name"),
    ],
)
def test_address(text: str, host: str, port: int) -> None:
    """Host and port are read, and written as they were."""
    assert addresses.parsed(text) == Address(host, port)
    assert str(addresses.parsed(text)) == text
    assert addresses.problem(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "has no port", id="empty"),
        pytest.param("db.example", "has no port", id="host alone"),
        pytest.param(":5432", "has no port", id="port alone"),
        pytest.param("[::1]", "has no port", id="ipv6 alone"),
        pytest.param("::1", "has no port", id="ipv6 without brackets or port"),
        pytest.param("2001:db8::1:443", "without brackets", id="ipv6 without brackets"),
        pytest.param("[db.example]:1", "between its brackets", id="name in brackets"),
        pytest.param("[127.0.0.1]:1", "between its brackets", id="ipv4 in brackets"),
        pytest.param("db.example:0", "from 1 to 65535", id="port 0"),
        pytest.param("db.example:65536", "from 1 to 65535", id="port too high"),
        pytest.param("db.example:http", "from 1 to 65535", id="port by name"),
        pytest.param("db.example:٣", "from 1 to 65535", id="port in other digits"),
        pytest.param("db.example:+1", "from 1 to 65535", id="port with a sign"),
        pytest.param("https://db.example:443", "is no address", id="url"),
        pytest.param("user@db.example:22", "is no address", id="user"),
        pytest.param("db.example\r\n:22", "is no address", id="line end"),
        pytest.param(f"{'a' * 300}:22", "is no address", id="too long"),
    ],
)
def test_no_address(text: str, words: str) -> None:
    """What is wrong is said in a sentence that shows the text, an example, and no more than a line."""
    with pytest.raises(ValueError, match=words) as caught:
        addresses.parsed(text)
    assert "db.example:5432" in str(caught.value)
    assert len(str(caught.value)) < 250
    assert addresses.problem(text) == str(caught.value)


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    """A text is an address that is written as it was read, or a mistake; never anything else."""
    try:
        found = addresses.parsed(text)
    except ValueError:
        return
    assert str(found).rpartition(":")[0] == text.rpartition(":")[0]
    assert 1 <= found.port <= 65535
