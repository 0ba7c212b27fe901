"""Every name that a driver would look up is looked up first, in threads that nobody else needs."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from exporter.databases.resolver import Resolver
from exporter.databases.urls import async_url

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names that were looked up; those that end in `unknown` have no address."""
    names: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> list[object]:
        names.append(host)
        if host.endswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.fixture
def known() -> Callable[[str], object]:
    """Give a function that looks up the host of a URL and closes the resolver."""

    async def look(url: str) -> None:
        resolver = Resolver(async_url("registry", url))
        try:
            await resolver.known()
        finally:
            resolver.close()

    return look


@pytest.mark.parametrize(
    ("url", "names"),
    [
        pytest.param("postgresql://u:p@db.example/d", ["db.example"], id="name"),
        pytest.param("postgresql://u:p@/d?host=db.example", ["db.example"], id="parameter"),
        pytest.param("postgresql://u:p@/d?host=db.example:5433", ["db.example"], id="parameter with its port"),
        pytest.param("postgresql:///d?host=a.example&host=b.example", ["b.example"], id="the last of two parameters"),
        pytest.param("postgresql://u:p@db.example/d?host=other.example", ["db.example"], id="place before parameter"),
        pytest.param("postgresql://a.example,b.example/d", ["a.example", "b.example"], id="several"),
        pytest.param("postgresql://a.unknown,b.example/d", ["a.unknown", "b.example"], id="one of several is known"),
        pytest.param("postgresql://a.unknown,192.0.2.1/d", ["a.unknown", "192.0.2.1"], id="one of them an address"),
        pytest.param("mysql://u:p@db.example/d", ["db.example"], id="mysql"),
        pytest.param("mysql://u:p@db.unknown/d?unix_socket=/run/mysqld.sock", [], id="mysql by a socket"),
        pytest.param("postgresql:///d?host=/run/postgresql", [], id="socket"),
        pytest.param("postgresql://u:p@[::1]:5432/d", [], id="IPv6"),
        pytest.param("postgresql://u:p@/d?host=192.0.2.1", [], id="IPv4 as parameter"),
        pytest.param("postgresql:///d", [], id="no host"),
        pytest.param("sqlite:////srv/a.db", [], id="file"),
    ],
)
async def test_the_names_of_a_url_are_looked_up(
    asked: list[str], known: Callable[..., object], url: str, names: list[str]
) -> None:
    """The same names that the driver asks for; none for an address, a socket or a file."""
    await known(url)
    assert asked == names


@pytest.mark.parametrize("url", ["postgresql:///d?host=db.unknown", "postgresql://a.unknown,b.unknown/d"])
@pytest.mark.usefixtures("asked")
async def test_names_that_nobody_knows_are_an_error(known: Callable[..., object], url: str) -> None:
    with pytest.raises(socket.gaierror, match="not known"):
        await known(url)


async def test_a_name_that_cannot_be_one_is_unknown(known: Callable[..., object]) -> None:
    """An empty label is refused by Python before any name server is asked, with an error of another family."""
    with pytest.raises(socket.gaierror, match="not one that can be looked up"):
        await known("postgresql://db..example/d")
