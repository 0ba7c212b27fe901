"""A named database reads, never writes, never hangs, and says in one sentence what is wrong."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from exporter.config.options import Duration
from exporter.databases import open_database, options_from_url
from exporter.databases.options import PoolOptions
from exporter.errors import (
    DatabaseError,
    DatabaseMissingError,
    DatabasePermissionError,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    DatabaseUrlError,
    PoolTimeoutError,
    RowLimitError,
    StatementTimeoutError,
    TableMissingError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.engines import EmptyDatabase
    from servers.postgresql import PostgreSQL
    from servers.proxy import TcpProxy

    from exporter.databases.database import Database

SLEEP = {
    "postgresql": "SELECT pg_sleep(30)",
    "mysql": "SELECT sleep(30)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
}


def opened(url: str, **changes: object) -> Database:
    quick = replace(options_from_url(url), connect_timeout=Duration(2.0), statement_timeout=Duration(1.0))
    return open_database("registry", replace(quick, **changes))


async def test_it_reads_rows_and_names(engine: EmptyDatabase) -> None:
    """Rows come back with the names of their columns, in their order."""
    engine.execute("CREATE TABLE t (a INTEGER, b VARCHAR(20)); INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    database = opened(engine.url)
    found = await database.fetch(sa.text("SELECT a, b FROM t ORDER BY a"))
    assert (found.keys, [tuple(row) for row in found.rows]) == (("a", "b"), [(1, "one"), (2, "two")])
    await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (1)",
        "DELETE FROM t",
        "UPDATE t SET a = 2",
        "DROP TABLE t",
        "CREATE TABLE other (a INTEGER)",
    ],
)
async def test_it_never_writes(engine: EmptyDatabase, statement: str) -> None:
    """Every statement that writes is refused by the database itself."""
    engine.execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)")
    database = opened(engine.url)
    with pytest.raises(DatabaseError):
        await database.fetch(sa.text(statement))
    found = await database.fetch(sa.text("SELECT a FROM t"))
    assert [tuple(row) for row in found.rows] == [(7,)]
    await database.close()


async def test_a_slow_statement_is_cut_off_and_the_next_one_answers(engine: EmptyDatabase) -> None:
    """A statement past its limit fails at the limit, and costs nobody else."""
    database = opened(engine.url)
    begun = time.monotonic()
    with pytest.raises(StatementTimeoutError, match="did not answer within 1 s"):
        await database.fetch(sa.text(SLEEP[engine.dialect]))
    assert time.monotonic() - begun < 3
    assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
    await database.close()


async def test_a_cancelled_read_leaves_a_usable_pool(engine: EmptyDatabase) -> None:
    """A scrape that gives up on a read, again and again, never uses the pool up."""
    database = opened(engine.url, statement_timeout=Duration(20.0), pool=PoolOptions(size=2, timeout=Duration(1.0)))
    for _ in range(5):
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await database.fetch(sa.text(SLEEP[engine.dialect]))
        assert time.monotonic() - begun < 2
    assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
    await database.close()


async def test_a_read_that_is_cancelled_twice_gives_its_connection_back(engine: EmptyDatabase) -> None:
    """A scrape gives up, and a reload a moment later: the pool must not lose a place by that."""
    database = opened(engine.url, statement_timeout=Duration(20.0), pool=PoolOptions(size=1, timeout=Duration(2.0)))
    for _ in range(3):
        read = asyncio.create_task(database.fetch(sa.text(SLEEP[engine.dialect])))
        await asyncio.sleep(0.1)
        read.cancel()
        await asyncio.sleep(0)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
    assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
    await database.close()


async def test_a_read_waits_for_a_free_connection_only_so_long(engine: EmptyDatabase) -> None:
    """With every connection busy the wait ends in a sentence that names the option."""
    database = opened(engine.url, statement_timeout=Duration(3.0), pool=PoolOptions(size=1, timeout=Duration(0.3)))
    slow = asyncio.create_task(database.fetch(sa.text(SLEEP[engine.dialect])))
    async with asyncio.timeout(10):
        while not database._engine.pool.checkedout():  # noqa: ASYNC110 - a pool gives no event
            await asyncio.sleep(0.01)
    with pytest.raises(PoolTimeoutError, match=r"raise `pool\.size`"):
        await database.fetch(sa.text("SELECT 1"))
    slow.cancel()
    await asyncio.wait({slow})
    await database.close()


async def test_more_rows_than_the_limit_are_an_error(engine: EmptyDatabase) -> None:
    """Rows are never silently cut off."""
    engine.execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2), (3)")
    database = opened(engine.url, row_limit=2)
    table = sa.table("t", sa.column("a"))
    with pytest.raises(RowLimitError, match="more than 2 rows"):
        await database.fetch(database.limited(sa.select(table.c.a)))
    assert len((await database.fetch(database.limited(sa.select(table.c.a).where(table.c.a < 3)))).rows) == 2
    await database.close()


async def test_a_missing_table_is_named(engine: EmptyDatabase) -> None:
    """Whether a table is looked at or read, its absence is the same sentence."""
    database = opened(engine.url)
    for reading in (
        database.columns("nowhere", None),
        database.fetch(sa.text("SELECT a FROM nowhere"), table="nowhere"),
    ):
        with pytest.raises(TableMissingError, match="no table 'nowhere'"):
            await reading
    await database.close()


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda url: url.replace("password-", "wrong-"), DatabaseRefusedError, id="wrong password"),
        pytest.param(lambda url: url.rpartition("/")[0] + "/nowhere", DatabaseError, id="no such database"),
        pytest.param(
            lambda url: url.replace("127.0.0.1", "no-such-host.invalid"), DatabaseUnreachableError, id="no host"
        ),
    ],
)
async def test_what_keeps_a_connection_from_opening_is_said_without_the_password(
    request: pytest.FixtureRequest, server: str, change: Callable[[str], str], error: type[DatabaseError]
) -> None:
    """The sentence names the database and the place, and never what is secret."""
    url = change(request.getfixturevalue(server).create_database())
    secret = url.split(":")[2].partition("@")[0]
    database = opened(url)
    with pytest.raises(error) as caught:
        await database.fetch(sa.text("SELECT 1"))
    assert "'registry'" in str(caught.value)
    assert secret not in str(caught.value)
    assert secret not in repr(database.options)
    await database.close()


async def test_a_schema_without_usage_is_named(postgres: PostgreSQL) -> None:
    """SELECT on the table alone is not enough, and the sentence says which right is missing."""
    url = postgres.create_database()
    postgres.execute(
        "CREATE SCHEMA hidden; CREATE TABLE hidden.t (a INTEGER); GRANT SELECT ON hidden.t TO PUBLIC",
        url.rpartition("/")[2],
    )
    database = opened(url)
    with pytest.raises(DatabasePermissionError, match="the schema hidden: grant USAGE"):
        await database.fetch(sa.text("SELECT a FROM hidden.t"), table="t")
    await database.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:secret@127.0.0.1:1/db", "127.0.0.1:1: connection refused; check"),
        ("mysql://u:secret@127.0.0.1:1/db", "127.0.0.1:1: connection refused; check"),
        ("postgresql://u:secret@no-such-host.invalid/db", "the name of its host is not known"),
        ("mysql://u:secret@no-such-host.invalid/db", "the name of its host is not known"),
        ("postgresql://u:e@127.0.0.1:1/db", "connection refused"),
    ],
)
async def test_what_the_network_says_is_in_words(url: str, said: str) -> None:
    """No error number, no tuple of a driver, and a short password does not eat letters."""
    database = opened(url)
    with pytest.raises(DatabaseUnreachableError, match=said):
        await database.fetch(sa.text("SELECT 1"))
    await database.close()


async def test_a_revoked_permission_names_the_table(postgres: PostgreSQL) -> None:
    """What the user may not read is said as such."""
    url = postgres.create_database()
    postgres.execute("CREATE TABLE hidden (a INTEGER)", url.rpartition("/")[2])
    database = opened(url)
    with pytest.raises(DatabasePermissionError, match="grant SELECT"):
        await database.fetch(sa.text("SELECT a FROM hidden"), table="hidden")
    await database.close()


@pytest.mark.parametrize("server", ["own_postgres", "own_mariadb"])
async def test_a_server_that_goes_and_comes_back_is_just_there_again(
    request: pytest.FixtureRequest, server: str
) -> None:
    """Down at start, down later, crashed: each read says so at once, and the first one after the return succeeds."""
    running = request.getfixturevalue(server)()
    database = opened(running.create_database())
    running.stop()
    with pytest.raises(DatabaseUnreachableError):
        await database.fetch(sa.text("SELECT 1"))
    for mode in ("fast", "immediate"):
        running.start()
        assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
        running.stop(mode)
        with pytest.raises(DatabaseUnreachableError):
            await database.fetch(sa.text("SELECT 1"))
    running.start()
    running.restart()
    assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1, "an idle connection died with its server"
    await database.close()


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
async def test_a_network_that_swallows_everything_does_not_hang_us(
    request: pytest.FixtureRequest, tcp_proxy: Callable[[int], TcpProxy], server: str
) -> None:
    """No packet is answered, no connection is closed; the read ends at its limit, and recovers with the network."""
    running = request.getfixturevalue(server)
    proxy = tcp_proxy(running.port)
    database = opened(proxy.url(running.create_database()), pool=PoolOptions(size=2, timeout=Duration(1.0)))
    assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
    proxy.mode = "blackhole"
    for _ in range(4):
        begun = time.monotonic()
        with pytest.raises((StatementTimeoutError, DatabaseUnreachableError)):
            await database.fetch(sa.text("SELECT 1"))
        assert time.monotonic() - begun < 5
    proxy.mode = "pass"
    assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
    begun = time.monotonic()
    await database.close()
    assert time.monotonic() - begun < 3


async def test_many_dead_connections_are_closed_at_once(
    postgres: PostgreSQL, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    """A program that ends does not wait for peers that will never say goodbye."""
    proxy = tcp_proxy(postgres.port)
    databases = [
        opened(proxy.url(postgres.create_database()), pool=PoolOptions(size=2, timeout=Duration(1.0))) for _ in range(5)
    ]
    await asyncio.gather(*(database.fetch(sa.text("SELECT 1")) for database in databases for _ in range(2)))
    proxy.mode = "blackhole"
    begun = time.monotonic()
    await asyncio.gather(*(database.close() for database in databases))
    assert time.monotonic() - begun < 3


async def test_a_name_server_that_hangs_costs_only_its_own_database(
    postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look-ups cannot be cut off; they are bounded, and leave the threads that all parts share alone."""
    answer, look_up = threading.Event(), socket.getaddrinfo

    def hang(host: str, *rest: object, **named: object) -> object:
        if host == "db.hang.example":
            answer.wait(20)
            raise socket.gaierror(-2, "unknown")
        return look_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    hung = [opened(f"postgresql://u:p@db.hang.example/{n}", connect_timeout=Duration(0.2)) for n in range(20)]
    try:
        for _ in range(3):
            for failed in await asyncio.gather(
                *(one.fetch(sa.text("SELECT 1")) for one in hung), return_exceptions=True
            ):
                assert isinstance(failed, DatabaseUnreachableError)
        healthy = opened(postgres.create_database().replace("127.0.0.1", "localhost"))
        assert (await healthy.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
        await healthy.close()
        assert len([thread for thread in threading.enumerate() if thread.name.startswith("resolve")]) <= 42
    finally:
        answer.set()
        await asyncio.gather(*(one.close() for one in hung))


async def test_a_reset_connection_is_replaced_without_an_error(
    postgres: PostgreSQL, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    """A firewall that forgot the connection is noticed and forgiven."""
    proxy = tcp_proxy(postgres.port)
    database = opened(proxy.url(postgres.create_database()))
    await database.fetch(sa.text("SELECT 1"))
    proxy.mode = "reset"
    proxy.mode = "pass"
    assert (await database.fetch(sa.text("SELECT 1"))).rows[0][0] == 1
    await database.close()


async def test_a_missing_sqlite_file_is_not_made(tmp_path: object) -> None:
    """Reading a source never creates it."""
    database = opened(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(DatabaseMissingError, match=r"none\.db"):
        await database.fetch(sa.text("SELECT 1"))
    assert not (tmp_path / "none.db").exists()
    await database.close()


async def test_a_file_that_is_no_database_is_said_so(tmp_path: object) -> None:
    """Garbage is a sentence, not a traceback."""
    (tmp_path / "garbage.db").write_bytes(b"garbage" * 1000)
    database = opened(f"sqlite:///{tmp_path}/garbage.db")
    with pytest.raises(DatabaseError, match="not a database"):
        await database.fetch(sa.text("SELECT * FROM t"))
    await database.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("", "no scheme", id="empty"),
        pytest.param("registry", "no scheme", id="a word"),
        pytest.param("oracle://user:canary@host/db", "scheme 'oracle'", id="an engine that cannot be read"),
        pytest.param("postgresql://user:canary@host", "no database", id="no database"),
        pytest.param("postgresql://user:canary@host:port/db", "cannot be parsed", id="a port that is no number"),
        pytest.param("sqlite://", "no file", id="sqlite in memory"),
        pytest.param("sqlite:///:memory:", "no file", id="sqlite in memory by name"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str, reason: str) -> None:
    """The sentence says what is wrong, how a URL looks, and no password."""
    with pytest.raises(DatabaseUrlError, match=reason) as caught:
        opened(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg"),
        ("postgres://u:p@h/d", "postgresql+asyncpg"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql+asyncpg"),
        ("mysql://u:p@h/d", "mysql+aiomysql"),
        ("mariadb://u:p@h/d", "mysql+aiomysql"),
        ("mysql+pymysql://u:p@h/d", "mysql+aiomysql"),
        ("sqlite:////tmp/x.db", "sqlite+aiosqlite"),
    ],
)
def test_plain_urls_find_their_driver(url: str, driver: str) -> None:
    """Whatever driver another tool's URL names, ours is used."""
    assert opened(url).url.drivername == driver
