"""A query's value against bounds, the same on every engine; whatever the database does, the reading comes in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from exporter.clock import SystemClock
from exporter.config.options import Duration
from exporter.databases import open_database, options_from_url
from exporter.errors import DatabaseDriverMissingError
from exporter.probes import sql
from exporter.probes.sql import Options
from exporter.probing import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from servers.engines import EmptyDatabase
    from servers.proxy import TcpProxy

    from exporter.databases.database import Database
    from exporter.model import Reading

SLEEP = {
    "postgresql": "SELECT pg_sleep(30)",
    "mysql": "SELECT sleep(30)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
}


def opened(url: str, **changes: object) -> Database:
    return open_database("registry", replace(options_from_url(url), **changes))


def parts(database: object, steps: list[str] | None = None) -> Parts:
    told = [] if steps is None else steps
    known = {"registry": database}
    return Parts(wire=None, databases=known, clock=SystemClock(), permits=lambda _: False, tell=told.append)


@pytest.fixture
async def registry(engine: EmptyDatabase) -> AsyncIterator[Database]:
    """Give a database with numbers and words, on each engine in turn."""
    engine.execute(
        "CREATE TABLE jobs (id INTEGER, state VARCHAR(20), cost NUMERIC(10, 2));"
        "INSERT INTO jobs VALUES (1, 'done', 1.50), (2, 'failed', 2.25), (3, NULL, NULL)"
    )
    database = opened(engine.url)
    yield database
    await database.close()


async def ask(database: object, query: str, *, timeout: float = 20.0, **options: object) -> Reading:
    return await sql.probe(Options(database="registry", query=query, **options), parts(database), timeout)


COUNT = "SELECT count(*) FROM jobs"
BOUNDS = [
    pytest.param({}, "up", "the query gave 3", id="none"),
    pytest.param({"max": 3}, "up", "the query gave 3", id="at most"),
    pytest.param({"max": 2}, "down", "the query gave 3, wanted at most 2", id="more"),
    pytest.param({"min": 3}, "up", "the query gave 3", id="at least"),
    pytest.param({"min": 3.5}, "down", "the query gave 3, wanted at least 3.5", id="less"),
    pytest.param({"warn_max": 2, "max": 10}, "degraded", "the query gave 3, wanted at most 2", id="a warning"),
    pytest.param({"warn_min": 4}, "degraded", "the query gave 3, wanted at least 4", id="a warning below"),
    pytest.param({"warn_max": 1, "max": 2}, "down", "the query gave 3, wanted at most 2", id="the worse one"),
    pytest.param({"expect": "3"}, "up", "the query gave 3", id="expected"),
    pytest.param({"expect": "3.0"}, "up", "the query gave 3", id="expected number in another form"),
    pytest.param({"expect": "4"}, "down", "the query gave 3, wanted '4'", id="unexpected"),
]


async def test_the_value_is_held_against_the_bounds(registry: Database) -> None:
    """The reason tells the value and the bound that it does not meet."""
    for case in BOUNDS:
        options, state, reason = case.values
        reading = await ask(registry, COUNT, **options)
        assert (reading.state, reading.reason, case.id) == (state, reason, case.id)
        assert reading.cause == ("" if state == "up" else "value")
        assert sql.samples(reading) == {sql.VALUE: {(): 3.0}}


async def test_a_value_of_any_type_is_judged(registry: Database) -> None:
    """A decimal is a number, a text is one where it reads as one, and any other has no series."""
    decimal = await ask(registry, "SELECT sum(cost) FROM jobs", min=3.75, max=3.75)
    assert (decimal.state, decimal.facts) == ("up", 3.75)
    text = await ask(registry, "SELECT state FROM jobs WHERE id = 1", expect="done")
    assert (text.state, text.reason, sql.samples(text)) == ("up", "the query gave done", {})
    compared = await ask(registry, "SELECT state FROM jobs WHERE id = 1", max=3)
    assert compared.state == "down"
    assert compared.reason == "the query gave done, which is no number that could be compared"
    number = await ask(registry, "SELECT '12'", max=12)
    assert (number.state, number.facts) == ("up", 12.0)


async def test_the_first_column_counts(registry: Database) -> None:
    assert (await ask(registry, "SELECT id, state FROM jobs WHERE id = 2", expect="2")).state == "up"


async def test_rows_that_are_missing_or_too_many_are_told(registry: Database) -> None:
    """The configuration may say that no row is good news."""
    nothing = "SELECT id FROM jobs WHERE id > 9"
    reading = await ask(registry, nothing)
    assert (reading.state, reading.cause, reading.reason) == ("down", "answer", "the query gave no row")
    assert (await ask(registry, nothing, empty="up")).state == "up"
    assert (await ask(registry, nothing, empty="degraded")).state == "degraded"
    several = await ask(registry, "SELECT id FROM jobs WHERE id < 3", max=2)
    assert several.state == "up"
    assert several.reason.endswith("; it gave several rows, of which the first counts")
    null = await ask(registry, "SELECT max(cost) FROM jobs WHERE id = 3", min=0)
    assert (null.state, null.reason) == ("down", "the query gave NULL, which is no value")


async def test_a_million_rows_are_not_fetched(registry: Database) -> None:
    """The database itself stops after two: neither the row limit nor our memory is touched."""
    four = "(SELECT 1 AS i UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4)"
    ten = f"SELECT a.i FROM {', '.join(f'{four} {letter}' for letter in 'abcdefghij')}"
    reading = await ask(registry, ten)
    assert reading.state == "up"
    assert "several rows" in reading.reason


async def test_what_stands_in_a_query_reaches_the_database_as_it_is(registry: Database) -> None:
    """A colon names no parameter, a percent sign no format, and a comment at the end hides nothing."""
    reading = await ask(registry, "SELECT ' :when %s 100%' -- all of it ;", expect=" :when %s 100%")
    assert reading.state == "up"


ERRORS = [
    pytest.param("SELECT a FROM nowhere", "answer", "nowhere': check the query", id="table"),
    pytest.param("SELECT colour FROM jobs", "answer", "has no column 'colour': check the query", id="column"),
    pytest.param("SELECT FROM WHERE", "answer", "answered with an error", id="syntax"),
    pytest.param("SELECT 1; DELETE FROM jobs", "answer", "answered with an error", id="two statements"),
]


@pytest.mark.parametrize(("query", "cause", "words"), ERRORS)
async def test_an_error_of_the_database_is_down_with_its_sentence(
    registry: Database, query: str, cause: str, words: str
) -> None:
    reading = await ask(registry, query)
    assert (reading.state, reading.cause) == ("down", cause)
    assert words in reading.reason
    assert "'registry'" in reading.reason


async def test_a_query_that_writes_is_refused(registry: Database) -> None:
    """Neither our statement nor the connection lets it."""
    assert (await ask(registry, "DELETE FROM jobs")).state == "down"
    assert (await ask(registry, COUNT, expect="3")).state == "up"


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        pytest.param(20.0, "did not answer within 0.4 s", id="the probe's own"),
        pytest.param(0.1, "did not answer within 0.1 s", id="the database's"),
    ],
)
async def test_a_slow_query_is_cut_off_at_the_first_deadline(engine: EmptyDatabase, limit: float, words: str) -> None:
    """And the connection pool is as good as before."""
    database = opened(engine.url, statement_timeout=Duration(limit))
    try:
        assert (await ask(database, "SELECT 1")).state == "up"
        reading = await ask(database, SLEEP[engine.dialect], timeout=0.4 if limit > 1 else 10.0)
        assert (reading.state, reading.cause) == ("down", "timeout")
        assert words in reading.reason
        for _ in range(database.options.pool.size + 1):
            assert (await ask(database, "SELECT 1")).state == "up"
    finally:
        await database.close()


async def test_cancelling_a_probe_gives_the_connection_back(engine: EmptyDatabase) -> None:
    database = opened(engine.url, statement_timeout=Duration(20.0))
    try:
        for _ in range(database.options.pool.size + 1):
            asking = asyncio.create_task(ask(database, SLEEP[engine.dialect]))
            async with asyncio.timeout(10):
                while not database._engine.pool.checkedout():  # noqa: ASYNC110 - a pool gives no event
                    await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert (await ask(database, "SELECT 1")).state == "up"
    finally:
        await database.close()


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
async def test_a_network_that_swallows_everything_does_not_hang_the_probe(
    request: pytest.FixtureRequest, tcp_proxy: Callable[[int], TcpProxy], server: str
) -> None:
    """The deadline is the probe's; cutting the connection off goes on behind it."""
    running = request.getfixturevalue(server)
    proxy = tcp_proxy(running.port)
    database = opened(proxy.url(running.create_database()))
    try:
        assert (await ask(database, "SELECT 1")).state == "up"
        proxy.mode = "blackhole"
        async with asyncio.timeout(3):
            reading = await ask(database, "SELECT 1", timeout=0.5)
        assert (reading.state, reading.cause) == ("down", "timeout")
        proxy.mode = "pass"
        assert (await ask(database, "SELECT 1")).state == "up"
    finally:
        await database.close()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_database_that_cannot_be_reached_is_down(scheme: str) -> None:
    database = opened(f"{scheme}://u:canary-secret@127.0.0.1:1/db")
    try:
        reading = await ask(database, "SELECT 1")
    finally:
        await database.close()
    assert (reading.state, reading.cause) == ("down", "connect")
    assert "connection refused" in reading.reason
    assert "canary" not in reading.reason


async def test_what_is_configured_wrongly_says_nothing_of_the_service() -> None:
    """A database that is not there, or whose driver is not installed, is our own trouble."""
    missing = await sql.probe(Options(database="regisry", query="SELECT 1"), parts(None), 1.0)
    assert (missing.state, missing.cause) == ("unknown", "config")
    assert missing.reason == "there is no database 'regisry' among the `databases`; did you mean 'registry'?"

    class WithoutDriver:
        """A database whose driver went away between load and read."""

        async def fetch(self, statement: object) -> object:
            raise DatabaseDriverMissingError(database="registry", driver="asyncpg", extra="postgresql")

    reading = await ask(WithoutDriver(), "SELECT 1")
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "pip install 'watchbridge[postgresql]'" in reading.reason


async def test_a_long_value_is_quoted_shortly_and_printably(tmp_path) -> None:
    """Terminals and lines of a log take what the reason holds."""
    (tmp_path / "a.db").touch()
    database = opened(f"sqlite:///{tmp_path}/a.db")
    try:
        reading = await ask(database, "SELECT char(27) || char(10) || printf('%.300c', 'x')")
    finally:
        await database.close()
    assert reading.reason.isprintable()
    assert len(reading.reason) <= len("the query gave ") + sql.QUOTED


PROBLEMS = [
    pytest.param({"database": "regisrty"}, ("database",), "did you mean 'registry'?", id="misspelt database"),
    pytest.param({"database": "zzz"}, ("database",), "known are registry", id="unknown database"),
    pytest.param({"query": "DELETE FROM t"}, ("query",), "begins with SELECT or WITH", id="no SELECT"),
    pytest.param({"query": "SELECT 1; SELECT 2;"}, ("query",), "found a ; inside it", id="two statements"),
    pytest.param({"min": 2, "max": 1}, ("min",), "is more than max", id="bounds crossed"),
    pytest.param({"warn_min": 2, "max": 1}, ("warn_min",), "is more than max", id="bounds and warnings crossed"),
    pytest.param({"max": float("nan")}, ("max",), "wanted a number", id="NaN"),
]


@pytest.mark.parametrize(("changes", "path", "words"), PROBLEMS)
def test_what_cannot_be_right_is_a_problem(changes: dict[str, object], path: tuple[str, ...], words: str) -> None:
    options = Options(**({"database": "registry", "query": "SELECT 1"} | changes))
    [(found, told)] = options.problems(SimpleNamespace(databases={"registry": None}))
    assert found == path
    assert words in told


def test_neither_target_nor_step_tells_the_query() -> None:
    """It may hold names and numbers of customers."""
    options = Options(database="registry", query="SELECT 'canary'")
    assert sql.target(options) == "database registry"
    with pytest.raises(ValueError, match="takes no target"):
        sql.aimed(options, "other")
