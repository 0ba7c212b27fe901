"""Nothing waits for ever: neither for a lock, nor for a server that hangs, nor for a lost network."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from exporter.errors import StoreBusyError, StoreDriverMissingError, StoreError, StoreUrlError, WatchbridgeError
from exporter.store import engines
from exporter.store.collector_runs import recall, remember
from exporter.store.engines import BUSY_SECONDS, OPERATION_SECONDS
from exporter.store.store import CLOSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = {("packages", "npm"): 5.0}
GOODBYE_SECONDS = 2.0  # SQLAlchemy's limit for closing a connection of asyncpg in good order
SLACK = 2.0  # seconds a loaded test machine may add to a limit
NETWORKED = pytest.mark.parametrize("engine", ["postgres", "mariadb"])


def foreign_writer(url: str) -> sqlite3.Connection:
    """Hold the write lock of an SQLite store from outside."""
    writer = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    return writer


@pytest.mark.alone
async def test_foreign_writer_that_stays(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """A lock that another program keeps ends a write after the time limit, and only writes: reads go on."""
    url = new_url("sqlite")
    store = await open_store(url)
    writer = foreign_writer(url)
    began = time.monotonic()
    write = asyncio.create_task(remember(store, ROWS))
    assert await recall(store) == {}
    assert time.monotonic() - began < BUSY_SECONDS
    with pytest.raises(StoreError, match="locked"):
        await write
    assert BUSY_SECONDS - 0.5 < time.monotonic() - began < OPERATION_SECONDS + SLACK
    writer.rollback()
    writer.close()
    await remember(store, ROWS)
    assert await recall(store) == ROWS


async def test_foreign_writer_that_ends(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """A write waits for another program's lock and goes on when it is given back."""
    url = new_url("sqlite")
    store = await open_store(url)
    writer = foreign_writer(url)
    asyncio.get_running_loop().call_later(0.5, writer.rollback)
    await remember(store, ROWS)
    writer.close()
    assert await recall(store) == ROWS


async def test_writers_of_one_process_take_turns(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """More writers than connections all get their turn."""
    store = await open_store(new_url("sqlite"))
    await asyncio.gather(*(remember(store, {("packages", f"{number}"): 1.0}) for number in range(50)))
    assert len(await recall(store)) == 50


async def test_one_server_many_commands(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """Of two servers the second is refused; commands work beside the first."""
    url = new_url("sqlite")
    server = await open_store(url, exclusive=True)
    with pytest.raises(StoreBusyError, match="process"):
        await open_store(url, exclusive=True)
    command = await open_store(url)
    await remember(command, ROWS)
    assert await recall(server) == ROWS
    await server.close()
    assert (await open_store(url, exclusive=True)).revision


async def test_error_of_the_block_rolls_back(url: str, open_store: Callable[..., Any]) -> None:
    """An error of the caller's own comes through as it is, and nothing of the transaction stays."""
    store = await open_store(url)

    async def fail() -> None:
        async with store.writing() as connection:
            await connection.execute(text("INSERT INTO collector_runs VALUES ('packages', 'npm', 1.0)"))
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await recall(store) == {}


async def test_snapshot_sees_one_moment(url: str, open_store: Callable[..., Any]) -> None:
    """Two statements of a snapshot see the same rows, though a writer committed between them."""
    store = await open_store(url)
    count = text("SELECT count(*) FROM collector_runs")
    async with store.reading(snapshot=True) as connection:
        before = (await connection.execute(count)).scalar()
        await remember(store, ROWS)
        assert (await connection.execute(count)).scalar() == before == 0
    assert await recall(store) == ROWS


@NETWORKED
async def test_lost_network(
    engine: str, new_url: Callable[[str], str], tcp_proxy: Callable[..., Any], open_store: Callable[..., Any]
) -> None:
    """A network that swallows every packet ends an operation after its limit; when it is back, so is the store."""
    url = new_url(engine)
    proxy = tcp_proxy(urlsplit(url).port)
    store = await open_store(proxy.url(url))
    proxy.mode = "blackhole"
    began = time.monotonic()
    with pytest.raises(StoreError, match="did not answer within 5 s"):
        await remember(store, ROWS)
    assert time.monotonic() - began < OPERATION_SECONDS + SLACK
    proxy.mode = "pass"
    await remember(store, ROWS)
    assert await recall(store) == ROWS


@NETWORKED
async def test_cancelled_on_a_lost_network(
    engine: str, new_url: Callable[[str], str], tcp_proxy: Callable[..., Any], open_store: Callable[..., Any]
) -> None:
    """A task that is cancelled while the network is lost ends in the two seconds a driver gets to say goodbye."""
    url = new_url(engine)
    proxy = tcp_proxy(urlsplit(url).port)
    store = await open_store(proxy.url(url))
    proxy.mode = "blackhole"
    write = asyncio.create_task(remember(store, ROWS))
    done, _ = await asyncio.wait({write}, timeout=0.3)
    assert not done
    began = time.monotonic()
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert time.monotonic() - began < GOODBYE_SECONDS + SLACK


@NETWORKED
async def test_close_on_a_lost_network(
    engine: str, new_url: Callable[[str], str], tcp_proxy: Callable[..., Any], open_store: Callable[..., Any]
) -> None:
    """A store whose network is lost still closes within its limit."""
    url = new_url(engine)
    proxy = tcp_proxy(urlsplit(url).port)
    store = await open_store(proxy.url(url))
    await remember(store, ROWS)
    proxy.mode = "blackhole"
    began = time.monotonic()
    await store.close()
    assert time.monotonic() - began < CLOSE_SECONDS + SLACK


@pytest.mark.parametrize("server", ["own_postgres", "own_mariadb"])
async def test_restarted_server(server: str, request: pytest.FixtureRequest, open_store: Callable[..., Any]) -> None:
    """A server that is gone is an error within the limit; after its restart the first operation works again."""
    database = request.getfixturevalue(server)()
    store = await open_store(database.create_database())
    await remember(store, ROWS)
    database.restart()
    await remember(store, {("packages", "pypi"): 6.0})
    database.stop()
    began = time.monotonic()
    with pytest.raises(StoreError):
        await recall(store)
    assert time.monotonic() - began < OPERATION_SECONDS + SLACK
    database.start()
    assert await recall(store) == ROWS | {("packages", "pypi"): 6.0}


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
@pytest.mark.parametrize("part", ["password", "port", "database"])
async def test_wrong_url(engine: str, part: str, new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """A wrong password, port or database is one sentence that names the place and no password."""
    url = urlsplit(new_url(engine))
    wrong = {
        "password": url._replace(netloc=f"{url.username}:hunter2@{url.hostname}:{url.port}"),
        "port": url._replace(netloc=f"{url.username}:hunter2@{url.hostname}:1"),
        "database": url._replace(path="/absent"),
    }[part].geturl()
    with pytest.raises(WatchbridgeError) as caught:
        await open_store(wrong)
    sentence = str(caught.value)
    assert caught.value.exit_code == 3
    assert "127.0.0.1" in sentence
    assert "\n" not in sentence
    assert "hunter2" not in sentence
    assert str(url.password) not in sentence


@pytest.mark.parametrize("url", ["postgresql://u:p@db.hang/w", "postgresql:///w?host=db.hang", "mysql://u:p@db.hang/w"])
async def test_name_server_that_hangs(
    url: str, open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up that hangs is one sentence after the limit, and holds none of the threads that all parts share."""
    answer, asking = threading.Event(), []

    def hang(*_: object, **__: object) -> object:
        asking.append(threading.current_thread().name)
        answer.wait(20)
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(engines, "OPERATION_SECONDS", 0.2)
    try:
        with pytest.raises(StoreError, match=r"no name server answered for its host within 0\.2 s"):
            await open_store(url)
    finally:
        answer.set()
    assert asking
    assert all(name.startswith("resolve") for name in asking)


@NETWORKED
async def test_store_by_its_hosts_name(
    engine: str, new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """A name that is known connects as an address does."""
    store = await open_store(new_url(engine).replace("127.0.0.1", "localhost"))
    await remember(store, ROWS)
    assert await recall(store) == ROWS


@pytest.mark.parametrize("kind", ["reading", "writing"])
async def test_long_transactions_have_long_statements(
    kind: str, new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """What may take an hour may spend it in one statement; the next transaction has the usual limit again."""
    store = await open_store(new_url("postgres"))
    found = []
    for more in ({"seconds": 3600.0}, {}):
        async with getattr(store, kind)(**more) as connection:
            found.append((await connection.execute(text("SHOW statement_timeout"))).scalar())
    assert found == ["1h", "5s"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://u:hunter2@h:99999/w", "The URL of the store is not usable: its port is not from 1 to 65535;"),
        (
            "oracle://u:hunter2@h/w",
            "The URL of the store is not usable: the scheme 'oracle' is not one that can be read",
        ),
    ],
)
async def test_url_that_cannot_be_used(url: str, sentence: str, open_store: Callable[..., Any]) -> None:
    """A URL that never came by the configuration is refused too, and the store is named, not a database."""
    with pytest.raises(StoreUrlError) as caught:
        await open_store(url)
    assert str(caught.value).startswith(sentence)
    assert caught.value.exit_code == 2


async def test_driver_that_is_missing(open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that brings it is named."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreDriverMissingError, match=r"The store needs .*'watchbridge\[postgresql\]'"):
        await open_store("postgresql://u:p@h/w")


async def test_no_database_file(open_store: Callable[..., Any], tmp_path: Any) -> None:
    """A file that is no database is told as such."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "watchbridge.db").write_text("this is no database, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        await open_store(f"sqlite:///{tmp_path}/data/watchbridge.db")
