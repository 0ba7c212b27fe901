"""Packages by status from any table: right on every engine, whatever the rows hold."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from servers.engines import FileDatabase
from servers.programs import until

from exporter.clock import SystemClock
from exporter.collectors.packages import STATUSES, Options, StatusReading, _Reader, _source, read, timeless
from exporter.collectors.packages.readings import complete
from exporter.config.options import Duration
from exporter.databases import open_database, options_from_url
from exporter.errors import ColumnMissingError, ColumnTypeError, DatabaseError, QueryShapeError, TableMissingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from servers.engines import EmptyDatabase
    from servers.postgresql import PostgreSQL

    from exporter.databases.database import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0
TABLE = "CREATE TABLE packages (id INTEGER, status VARCHAR(100), updated_at {type});"
TIME = {"sqlite": "TEXT", "postgresql": "TIMESTAMP", "mysql": "DATETIME"}


@pytest.fixture
async def database(engine: EmptyDatabase) -> AsyncIterator[Database]:
    """Give the empty database as a source reads it."""
    opened = open_database("registry", options_from_url(engine.url))
    yield opened
    await opened.close()


def made(engine: EmptyDatabase, rows: str, type_: str = "") -> None:
    """Make the table with rows."""
    engine.execute(
        TABLE.format(type=type_ or TIME[engine.dialect]) + (f"INSERT INTO packages VALUES {rows};" if rows else "")
    )


def by_status(readings: tuple[StatusReading, ...]) -> dict[str, StatusReading]:
    return {reading.status: reading for reading in readings}


def options(**changes: object) -> Options:
    return replace(Options(database="registry"), **changes)


async def test_an_empty_table_is_zero_in_every_status(engine: EmptyDatabase, database: Database) -> None:
    """The eight statuses are always there, in the order of the workflow, at 0 and with no times."""
    made(engine, "")
    assert await read(database, options(), NOON) == tuple(StatusReading(status, 0, 0) for status in STATUSES)


async def test_counts_stuck_and_times_are_those_of_the_rows(engine: EmptyDatabase, database: Database) -> None:
    """Exactly `stuck_after` old is stuck, a second younger is not, and a terminal status never is."""
    made(
        engine,
        "(1, 'Downloaded', '2026-03-01 11:00:00'), (2, 'Downloaded', '2026-03-01 11:00:01'),"
        "(3, 'Downloaded', '2026-02-01 00:00:00'), (4, 'Published', '2020-01-01 00:00:00'),"
        "(5, 'Approved', '2026-03-01 11:59:59')",
    )
    found = by_status(await read(database, options(), NOON))
    february = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    assert found["Downloaded"] == StatusReading("Downloaded", 3, 2, february, NOON - HOUR + 1)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    assert found["Published"] == StatusReading("Published", 1, 0, long_ago, long_ago)
    assert found["Approved"] == StatusReading("Approved", 1, 0, NOON - 1, NOON - 1)


async def test_null_and_future_times_are_counted_but_never_stuck(engine: EmptyDatabase, database: Database) -> None:
    """A time that is not known says nothing; one from the future is shown as it is."""
    made(engine, "(1, 'Downloaded', NULL), (2, 'Approved', '2031-01-01 00:00:00'), (3, 'Approved', NULL)")
    found = by_status(await read(database, options(), NOON))
    future = datetime(2031, 1, 1, tzinfo=UTC).timestamp()
    assert found["Downloaded"] == StatusReading("Downloaded", 1, 0, None, None)
    assert found["Approved"] == StatusReading("Approved", 2, 0, future, future)


async def test_unknown_statuses_come_after_the_known_ones(engine: EmptyDatabase, database: Database) -> None:
    """NULL, empty, misspelled, Unicode and control characters are statuses of their own that no label breaks on."""
    made(
        engine,
        "(1, NULL, NULL), (2, '', NULL), (3, 'approved!', NULL), (4, 'Żółw 🐢', NULL), (5, 'two\nlines', NULL),"
        "(6, 'Approved', NULL)",
    )
    found = await read(database, options(), NOON)
    assert [reading.status for reading in found[:8]] == list(STATUSES)
    assert {reading.status: reading.count for reading in found[8:]} == {
        "__null__": 1,
        "__empty__": 1,
        "approved!": 1,
        "Żółw 🐢": 1,
        "two\ufffdlines": 1,
    }


async def test_stuck_after_may_differ_by_status(engine: EmptyDatabase, database: Database) -> None:
    """A status with a limit of its own is held to that, the others to `default`."""
    made(
        engine,
        "(1, 'Pending Approval', '2026-03-01 09:00:00'), (2, 'Pending Approval', '2026-02-20 09:00:00'),"
        "(3, 'Downloaded', '2026-03-01 09:00:00'), (4, 'Approved', '2026-03-01 11:59:00')",
    )
    limits = {"default": Duration(HOUR), "Pending Approval": Duration(48 * HOUR), "Approved": Duration(30.0)}
    found = by_status(await read(database, options(stuck_after=limits), NOON))
    assert [found[status].stuck for status in ("Pending Approval", "Downloaded", "Approved")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("UTC", "2026-03-01 11:00:00"),
        ("Europe/Bucharest", "2026-03-01 13:00:00"),
        ("America/New_York", "2026-03-01 06:00:00"),
    ],
)
async def test_naive_times_are_read_in_the_configured_zone(
    engine: EmptyDatabase, database: Database, zone: str, written: str
) -> None:
    """The same moment, written by clocks of different walls, is the same moment, and stuck or not alike."""
    made(engine, f"(1, 'Downloaded', '{written}')")
    found = by_status(await read(database, options(timezone=zone), NOON))
    assert found["Downloaded"] == StatusReading("Downloaded", 1, 1, NOON - HOUR, NOON - HOUR)
    found = by_status(await read(database, options(timezone=zone), NOON - 1))
    assert found["Downloaded"].stuck == 0


@pytest.mark.parametrize("zone", ["UTC", "Europe/Bucharest", "America/New_York"])
@pytest.mark.parametrize("type_", ["TEXT", "INTEGER", "TIMESTAMP", ""])
async def test_what_carries_its_zone_is_read_by_that_in_sqlite(tmp_path: Path, zone: str, type_: str) -> None:
    """`timezone` is for texts without an offset; numbers and texts with one are moments whatever it is."""
    engine = FileDatabase(tmp_path)
    local = datetime.fromtimestamp(NOON - 600, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
    values = [str(int(NOON - 600))] if type_ != "TEXT" else []  # a column of text makes a text of it
    if type_ != "INTEGER":
        values += ["'2026-03-01T11:50:00Z'", "'2026-03-01 13:50:00+02:00'", "'2026-03-01 06:50:00-05:00'", f"'{local}'"]
    made(engine, ", ".join(f"({n}, 'Approved', {value})" for n, value in enumerate(values)), type_ or "BLOB")
    database = open_database("registry", options_from_url(engine.url))
    found = by_status(await read(database, options(timezone=zone), NOON))["Approved"]
    assert found == StatusReading("Approved", len(values), 0, NOON - 600, NOON - 600)
    found = by_status(await read(database, options(timezone=zone, stuck_after=Duration(600.0)), NOON))["Approved"]
    assert found.stuck == len(values)
    await database.close()


AWARE = [
    pytest.param("postgres", "TIMESTAMPTZ", "'2026-03-01 13:00:00+02'", id="timestamptz"),
    pytest.param("postgres", "DATE", "'2026-02-28'", id="date"),
    pytest.param("postgres", "BIGINT", "1772362800", id="bigint"),
    pytest.param("postgres", "NUMERIC(20, 3)", "1772362800.5", id="numeric"),
    pytest.param("postgres", "DOUBLE PRECISION", "1772362800", id="double"),
    pytest.param("mariadb", "TIMESTAMP", "'2026-03-01 11:00:00'", id="mysql timestamp"),
    pytest.param("mariadb", "DATETIME(6)", "'2026-03-01 11:00:00.000000'", id="mysql datetime(6)"),
    pytest.param("mariadb", "BIGINT", "1772362800", id="mysql bigint"),
    pytest.param("sqlite", "INTEGER", "1772362800", id="sqlite integer"),
    pytest.param("sqlite", "REAL", "1772362800.0", id="sqlite real"),
    pytest.param("sqlite", "TEXT", "'2026-03-01T11:00:00Z'", id="sqlite iso zulu"),
    pytest.param("sqlite", "TEXT", "'2026-03-01 13:00:00+02:00'", id="sqlite iso offset"),
]


@pytest.mark.parametrize(("engine", "type_", "value"), AWARE, indirect=["engine"])
async def test_every_type_of_time_is_read(engine: EmptyDatabase, database: Database, type_: str, value: str) -> None:
    """Whatever the column's type, the moment is the same and an hour old; a date is its midnight."""
    made(engine, f"(1, 'Downloaded', {value}), (2, 'Approved', NULL)", type_)
    found = by_status(await read(database, options(), NOON + 1))
    moment = datetime(2026, 2, 28, tzinfo=UTC).timestamp() if type_ == "DATE" else NOON - HOUR
    assert found["Downloaded"].oldest == pytest.approx(moment, abs=0.6)
    assert (found["Downloaded"].stuck, found["Downloaded"].oldest) == (1, found["Downloaded"].newest)
    assert found["Approved"] == StatusReading("Approved", 1, 0)


async def test_milliseconds_are_read_as_such(engine: EmptyDatabase, database: Database) -> None:
    """A number of milliseconds since 1970 needs to be said, and is then exact."""
    made(engine, f"(1, 'Downloaded', {int(NOON - HOUR) * 1000})", "BIGINT")
    found = by_status(await read(database, options(epoch="milliseconds"), NOON))
    assert found["Downloaded"] == StatusReading("Downloaded", 1, 1, NOON - HOUR, NOON - HOUR)


async def test_infinite_times_are_unknown(postgres: PostgreSQL) -> None:
    """PostgreSQL's infinity and -infinity are no moments; -infinity is stuck, which the database itself decides."""
    url = postgres.create_database()
    postgres.execute(
        "CREATE TABLE packages (status TEXT, updated_at TIMESTAMPTZ);"
        "INSERT INTO packages VALUES ('Approved', 'infinity'), ('Downloaded', '-infinity');"
        "GRANT ALL ON packages TO PUBLIC",
        url.rpartition("/")[2],
    )
    database = open_database("registry", options_from_url(url))
    found = by_status(await read(database, options(), NOON))
    assert found["Approved"] == StatusReading("Approved", 1, 0)
    assert found["Downloaded"] == StatusReading("Downloaded", 1, 1)
    await database.close()


@pytest.mark.parametrize("type_", ["TIMESTAMP", "TIMESTAMPTZ", "DATE"])
async def test_a_year_that_python_cannot_hold_costs_only_itself(postgres: PostgreSQL, type_: str) -> None:
    """PostgreSQL's calendar is longer: such a time is unknown, and the other statuses are read."""
    url = postgres.create_database()
    postgres.execute(
        f"CREATE TABLE packages (status TEXT, updated_at {type_});"
        "INSERT INTO packages VALUES ('Approved', '0044-03-15 BC'), ('Downloaded', '29427-01-01'),"
        " ('Security Scanned', 'infinity'), ('Pending Approval', '2026-03-01');"
        "GRANT ALL ON packages TO PUBLIC",
        url.rpartition("/")[2],
    )
    database = open_database("registry", options_from_url(url))
    found = by_status(await read(database, options(), NOON))
    await database.close()
    assert found["Approved"] == StatusReading("Approved", 1, 1)
    assert found["Downloaded"] == StatusReading("Downloaded", 1, 0)
    assert found["Security Scanned"] == StatusReading("Security Scanned", 1, 0)
    march = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    assert found["Pending Approval"] == StatusReading("Pending Approval", 1, 1, march, march)


@pytest.mark.parametrize("value", ["'NaN'", "'Infinity'", "1e300", "-1e300"])
async def test_a_number_that_is_no_moment_is_unknown(postgres: PostgreSQL, value: str) -> None:
    """Not a timestamp of the year 10^292 on a dashboard."""
    url = postgres.create_database()
    postgres.execute(
        "CREATE TABLE packages (status TEXT, updated_at DOUBLE PRECISION);"
        f"INSERT INTO packages VALUES ('Approved', {value}); GRANT ALL ON packages TO PUBLIC",
        url.rpartition("/")[2],
    )
    database = open_database("registry", options_from_url(url))
    found = by_status(await read(database, options(), NOON))["Approved"]
    await database.close()
    assert (found.count, found.oldest, found.newest) == (1, None, None)


async def test_text_that_is_no_utf8_costs_only_its_own_label(tmp_path: Path) -> None:
    """SQLite keeps whatever bytes it was given."""
    engine = FileDatabase(tmp_path)
    made(engine, "(1, CAST(x'ff41fe' AS TEXT), NULL), (2, 'Approved', NULL)")
    database = open_database("registry", options_from_url(engine.url))
    found = by_status(await read(database, options(), NOON))
    await database.close()
    assert (found["Approved"].count, found["\ufffdA\ufffd"].count) == (1, 1)


async def test_names_may_be_anything(engine: EmptyDatabase, database: Database) -> None:
    """Reserved words, spaces, quotes and upper case are quoted by the dialect, never by hand."""
    quote = "`" if engine.dialect == "mysql" else '"'
    q = {"table": f"{quote}order{quote}", "status": f"{quote}my status; --{quote}", "at": f"{quote}When{quote}"}
    engine.execute(
        f"CREATE TABLE {q['table']} ({q['status']} VARCHAR(20), {q['at']} {TIME[engine.dialect]});"
        f"INSERT INTO {q['table']} VALUES ('Approved', '2026-03-01 11:00:00')"
    )
    changed = options(table="order", status="my status; --", updated_at="When")
    assert by_status(await read(database, changed, NOON))["Approved"].count == 1


async def test_injection_in_a_name_is_a_missing_table(engine: EmptyDatabase, database: Database) -> None:
    """A name is only ever a name."""
    made(engine, "(1, 'Approved', NULL)")
    with pytest.raises(TableMissingError):
        await read(database, options(table='packages"; DROP TABLE packages; --'), NOON)
    assert by_status(await read(database, options(), NOON))["Approved"].count == 1


async def test_a_schema_is_looked_into(postgres: PostgreSQL) -> None:
    """`schema` names where the table is, and an enum status is text like any other."""
    url = postgres.create_database()
    postgres.execute(
        "CREATE SCHEMA queue; CREATE TYPE queue.step AS ENUM ('Approved', 'Odd');"
        "CREATE TABLE queue.jobs (step queue.step, changed TIMESTAMPTZ);"
        "INSERT INTO queue.jobs VALUES ('Approved', now()), ('Odd', now());"
        "GRANT USAGE ON SCHEMA queue TO PUBLIC; GRANT SELECT ON queue.jobs TO PUBLIC",
        url.rpartition("/")[2],
    )
    database = open_database("registry", options_from_url(url))
    changed = options(table="jobs", schema="queue", status="step", updated_at="changed", terminal_every=Duration(60.0))
    found = by_status(await read(database, changed, NOON))
    assert (found["Approved"].count, found["Odd"].count) == (1, 1)
    await database.close()


async def test_a_missing_column_names_the_nearest(engine: EmptyDatabase, database: Database) -> None:
    """A typing error is found before any row is read."""
    made(engine, "")
    with pytest.raises(ColumnMissingError, match=r"no column 'update_at' \(did you mean 'updated_at'\?\)"):
        await read(database, options(updated_at="update_at"), NOON)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"], indirect=True)
async def test_a_column_that_is_no_time_is_refused(engine: EmptyDatabase, database: Database) -> None:
    """Text is not guessed at: the sentence says what to do."""
    made(engine, "", "VARCHAR(40)")
    with pytest.raises(ColumnTypeError, match="not a time"):
        await read(database, options(), NOON)


async def test_without_a_time_column_nothing_is_said_of_stuck(engine: EmptyDatabase, database: Database) -> None:
    """What is not known is absent, not 0."""
    made(engine, "(1, 'Downloaded', NULL)")
    found = by_status(await read(database, options(updated_at=None), NOON))
    assert found["Downloaded"] == StatusReading("Downloaded", 1, None)
    assert found["Approved"] == StatusReading("Approved", 0, None)


async def test_a_whole_query_may_be_given(engine: EmptyDatabase, database: Database) -> None:
    """Its columns are found by name; casts, percent signs, colons and a trailing semicolon do no harm."""
    made(engine, "(1, 'Downloaded', '2026-03-01 11:00:00'), (2, 'Downloaded', '2026-03-01 11:30:00')")
    query = (
        "SELECT -- who knows\n count(*) AS count, status AS status, max(updated_at) AS newest,"
        " min(updated_at) AS oldest, 1 AS stuck"
        " FROM packages WHERE status LIKE 'Down%' AND status <> 'a:b' GROUP BY status -- by status"
    )
    found = by_status(await read(database, options(query=query), NOON))
    assert found["Downloaded"] == StatusReading("Downloaded", 2, 1, NOON - HOUR, NOON - HOUR / 2)
    assert found["Approved"] == StatusReading("Approved", 0, 0)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        pytest.param("SELECT 1 AS status", QueryShapeError, id="no count"),
        pytest.param("SELECT 'a' AS status, 1 AS count, 2 AS other", QueryShapeError, id="another column"),
        pytest.param("SELECT 'a' AS status, 'x' AS count", QueryShapeError, id="a count that is text"),
        pytest.param("SELECT status, count(*) AS count FROM nowhere GROUP BY status", TableMissingError, id="no table"),
        pytest.param("SELECT wrong grammar here FROM", DatabaseError, id="bad grammar"),
    ],
)
async def test_a_query_that_does_not_fit_is_explained(
    engine: EmptyDatabase, database: Database, query: str, error: type[Exception]
) -> None:
    """The sentence says what the query gave and what it must give."""
    made(engine, "")
    with pytest.raises(error):
        await read(database, options(query=query), NOON)


async def test_a_table_that_changes_is_looked_at_anew(engine: EmptyDatabase, database: Database) -> None:
    """A column that vanishes is an error, and one that is back is read again, without a restart."""
    reader = _Reader(database, options())
    made(engine, "(1, 'Approved', NULL)")
    assert by_status(await reader.read(NOON, 0.0))["Approved"].count == 1
    engine.execute("ALTER TABLE packages RENAME COLUMN updated_at TO changed_at")
    with pytest.raises(ColumnMissingError, match="did you mean 'changed_at'"):
        await reader.read(NOON, 0.0)
    engine.execute("ALTER TABLE packages RENAME COLUMN changed_at TO updated_at")
    assert by_status(await reader.read(NOON, 0.0))["Approved"].count == 1
    engine.execute("DROP TABLE packages")
    with pytest.raises(TableMissingError):
        await reader.read(NOON, 0.0)
    made(engine, "(1, 'Approved', NULL), (2, 'Approved', NULL)")
    assert by_status(await reader.read(NOON, 0.0))["Approved"].count == 2


async def test_a_column_that_gets_another_type_costs_no_read(postgres: PostgreSQL) -> None:
    """A statement that was prepared for the old type is made anew within the same read."""
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    postgres.execute(
        "CREATE TABLE packages (status VARCHAR(20), updated_at TIMESTAMP);"
        "INSERT INTO packages VALUES ('Approved', '2026-03-01 11:00:00'); GRANT ALL ON packages TO PUBLIC",
        name,
    )
    database = open_database("registry", options_from_url(url))
    reader = _Reader(database, options())
    for change in ("status TYPE TEXT", "updated_at TYPE TIMESTAMPTZ USING updated_at AT TIME ZONE 'UTC'"):
        await reader.read(NOON, 0.0)
        postgres.execute(f"ALTER TABLE packages ALTER COLUMN {change}", name)
        assert by_status(await reader.read(NOON, 0.0))["Approved"].oldest == NOON - HOUR
    await database.close()


async def test_terminal_statuses_are_counted_only_so_often(engine: EmptyDatabase, database: Database) -> None:
    """`terminal_every` keeps the count of what is finished; what is open is always fresh."""
    reader = _Reader(database, options(terminal_every=Duration(600.0)))
    made(engine, "(1, 'Published', NULL), (2, 'Approved', NULL), (3, NULL, NULL)")
    first = by_status(await reader.read(NOON, 0.0))
    engine.execute("INSERT INTO packages VALUES (4, 'Published', NULL), (5, 'Approved', NULL)")
    later = by_status(await reader.read(NOON, 599.0))
    at_last = by_status(await reader.read(NOON, 600.0))
    assert [found["Published"].count for found in (first, later, at_last)] == [1, 1, 2]
    assert [found["Approved"].count for found in (first, later, at_last)] == [1, 2, 2]
    assert [found["__null__"].count for found in (first, later, at_last)] == [1, 1, 1]


async def test_the_documented_index_answers_for_what_is_open(postgres: PostgreSQL) -> None:
    """With `terminal_every` a large table costs what its open packages cost."""
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    postgres.execute(
        "CREATE TABLE packages AS SELECT CASE WHEN n % 100 = 0 THEN 'Approved' ELSE 'Published' END AS status,"
        " now() - n * interval '1 second' AS updated_at FROM generate_series(1, 50000) AS n;"
        + documented_index()
        + "ANALYZE packages; GRANT SELECT ON packages TO PUBLIC",
        name,
    )
    database = open_database("registry", options_from_url(url))
    reader = _Reader(database, options(terminal_every=Duration(600.0)))
    for _ in range(10):
        found = by_status(await reader.read(NOON, 0.0))
    await database.close()
    assert (found["Approved"].count, found["Published"].count) == (500, 49500)
    query = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'packages_open'"
    assert until(lambda: int(postgres.execute(query, name)[-1][0]) >= 10 or None, 10, "the index scans are counted")


def documented_index() -> str:
    """Return the CREATE INDEX of docs/databases.md."""
    text = (Path(__file__).parents[2] / "docs" / "databases.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"CREATE INDEX CONCURRENTLY.*?;", text, re.DOTALL)
    return str(found).replace("CONCURRENTLY ", "")


async def test_statuses_and_terminal_ones_are_the_users(engine: EmptyDatabase, database: Database) -> None:
    """Any workflow can be declared in place of the eight."""
    made(engine, "(1, 'new', '2020-01-01 00:00:00'), (2, 'done', '2020-01-01 00:00:00')")
    found = await read(database, options(statuses=("new", "running", "done"), terminal=("done",)), NOON)
    assert [(reading.status, reading.count, reading.stuck) for reading in found] == [
        ("new", 1, 1),
        ("running", 0, 0),
        ("done", 1, 0),
    ]


def test_what_a_terminal_status_holds_is_never_stuck() -> None:
    """Whatever the database says of it."""
    found = complete([StatusReading("Published", 3, 3)], options())
    assert by_status(found)["Published"].stuck == 0


TIMELESS = (StatusReading("Approved", 3), StatusReading("Published", 0))


@pytest.mark.parametrize(
    ("changes", "readings", "warns"),
    [
        pytest.param({}, TIMELESS, True, id="rows without a time"),
        pytest.param({}, (*TIMELESS, StatusReading("x", 1, 0, 1.0, 1.0)), False, id="one time is enough"),
        pytest.param({}, (StatusReading("Approved", 0),), False, id="no rows"),
        pytest.param({"updated_at": None}, TIMELESS, False, id="no column named"),
        pytest.param({"query": "SELECT 1"}, TIMELESS, False, id="a query may know no times"),
    ],
)
def test_rows_without_any_time_are_doubted(
    changes: dict[str, object],
    readings: tuple[StatusReading, ...],
    warns: bool,  # noqa: FBT001
) -> None:
    assert (timeless(options(**changes), readings) is not None) is warns


async def test_a_column_without_times_is_logged_once_until_it_changes(
    engine: EmptyDatabase, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, not at each scrape; and again when it was mended and breaks anew."""
    made(engine, "(1, 'Approved', NULL)")
    source = _source("npm", options(), database, SystemClock())

    async def read_twice() -> int:
        await source.read()
        await source.read()
        return sum("has a time that can be read" in record.getMessage() for record in caplog.records)

    assert await read_twice() == 1
    engine.execute("UPDATE packages SET updated_at = '2026-03-01 11:00:00'")
    assert await read_twice() == 1
    engine.execute("UPDATE packages SET updated_at = NULL")
    assert await read_twice() == 2
    (record, _) = caplog.records
    assert record.fields == {"collector": "packages", "source": "npm"}
