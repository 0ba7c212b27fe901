"""Processes in alarm as the tables have them, and the one UPDATE that clears an alarm: right on every engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from process_alarms.scenes import NOTES, SOUND, made, ring
from sqlalchemy.ext.asyncio import create_async_engine

from exporter.config.options import Duration
from exporter.databases import drivers, open_database, options_from_url
from exporter.databases.changing import DatabaseChangeForbiddenError, DatabaseFileForbiddenError
from exporter.errors import (
    ColumnMissingError,
    DatabaseError,
    DatabasePermissionError,
    RowLimitError,
    TableMissingError,
)
from exporter.process_alarms.options import AlarmOptions, ProcessTable, StatusTable
from exporter.process_alarms.tables import AlarmColumnTypeError, found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from servers.engines import EmptyDatabase, FileDatabase, ServerDatabase

    from exporter.databases.database import Database
    from exporter.process_alarms.process import Process

PLANT = AlarmOptions(database="monitoring")


@pytest.fixture
async def database(engine: EmptyDatabase) -> AsyncIterator[Database]:
    """Give the empty database as it is read."""
    opened = open_database("monitoring", options_from_url(engine.url))
    yield opened
    await opened.close()


def names(processes: tuple[Process, ...]) -> dict[str, str | None]:
    return {one.id: one.name for one in processes}


async def rows_by(database: Database) -> list[tuple[Any, ...]]:
    """Return all statuses, in an order in which an alarm has no say."""
    kept = ("process_id", "alarma", "sound", "notes")
    name = "status_process" if database.dialect == "postgresql" else "STATUS_PROCESS"
    table = sa.table(name, *map(sa.column, kept))
    found_rows = (await database.fetch(sa.select(*table.c))).rows
    return sorted((tuple(row) for row in found_rows), key=lambda row: (row[0], str(row[3]) == "mute", str(row[3])))


async def test_what_is_not_0_is_in_alarm(engine: EmptyDatabase, database: Database) -> None:
    """0 and NULL are none, a process without a status is none, and one of several statuses is enough."""
    made(engine, {1: "calm", 2: "loud", 3: "unknown", 4: "mute", 5: "both"}, {1: 0, 2: 1, 3: "NULL", 5: 0})
    engine.execute("INSERT INTO STATUS_PROCESS VALUES (5, -1, 0, NULL), (5, NULL, 0, NULL), (5, 2, 0, NULL)")
    tables = await found(database, PLANT)
    assert names(await tables.in_alarm()) == {"2": "loud", "5": "both"}
    everything = {one.id: one.alarm for one in await tables.processes()}
    assert everything == {"1": False, "2": True, "3": False, "4": False, "5": True}


async def test_clearing_ends_the_alarm_and_changes_nothing_else(engine: EmptyDatabase, database: Database) -> None:
    """`sound` and `notes` stay byte for byte, a status that is no alarm is left as it is, and so are the others."""
    made(engine, {1: "one", 2: "two"}, {1: 3, 2: 1})
    engine.execute("INSERT INTO STATUS_PROCESS VALUES (1, NULL, 7, 'mute'), (1, 1, NULL, NULL)")
    before = await rows_by(database)
    tables = await found(database, PLANT)
    (one,) = [each for each in await tables.in_alarm() if each.id == "1"]
    assert await tables.clear(one) == 2
    assert names(await tables.in_alarm()) == {"2": "two"}
    after = await rows_by(database)
    assert [row[2:] for row in after] == [row[2:] for row in before]
    assert [(row[0], row[1]) for row in after] == [(1, 0), (1, 0), (1, None), (2, 1)]
    assert (1, 0, 1, NOTES) in after
    assert await tables.clear(one) == 0, "it stands no more"


async def test_clearing_has_a_session_of_its_own(engine: EmptyDatabase, database: Database) -> None:
    """The sessions that read still cannot write, before and after, and the one that wrote is gone."""
    made(engine, {1: "one"}, {1: 1})
    tables = await found(database, PLANT)
    (one,) = await tables.in_alarm()
    change = sa.update(tables.statuses).values({tables.alarm: 0})
    with pytest.raises(DatabaseError):
        await database.fetch(change)
    assert await tables.clear(one) == 1
    ring(engine, 1)
    with pytest.raises(DatabaseError):
        await database.fetch(change)
    assert names(await tables.in_alarm()) == {"1": "one"}
    assert database._writer is not None
    assert "NullPool" in database._writer.pool.status()


async def test_two_clear_at_once(engine: EmptyDatabase, database: Database) -> None:
    """Each row is changed by one of them."""
    made(engine, {1: "one"}, {1: 1})
    tables = await found(database, PLANT)
    (one,) = await tables.in_alarm()
    assert sorted(await asyncio.gather(*(tables.clear(one) for _ in range(3)))) == [0, 0, 1]


async def test_a_row_that_somebody_holds_is_not_waited_for_long(engine: EmptyDatabase) -> None:
    """The statement ends at its limit, whoever has the row; what it could not do it does not do later."""
    made(engine, {1: "one"}, {1: 1})
    options = replace(options_from_url(engine.url), statement_timeout=Duration(1.0))
    database = open_database("monitoring", options)
    tables = await found(database, PLANT)
    (one,) = await tables.in_alarm()
    holder = create_async_engine(database.url)
    async with holder.connect() as connection:
        await connection.execute(sa.update(tables.statuses).values({tables.alarm: 2}))
        with pytest.raises(DatabaseError):
            await tables.clear(one)
        await connection.rollback()
    await holder.dispose()
    assert names(await tables.in_alarm()) == {"1": "one"}
    assert await tables.clear(one) == 1
    await database.close()


@pytest.mark.parametrize("engine", ["postgres", "mariadb"], indirect=True)
async def test_a_user_without_update_is_told_what_to_grant(engine: ServerDatabase) -> None:
    """The alarm stays, and the sentence says which right is missing on which table."""
    made(engine, {1: "one"}, {1: 1})
    url = reader_of(engine)
    database = open_database("monitoring", options_from_url(url))
    tables = await found(database, PLANT)
    (one,) = await tables.in_alarm()
    with pytest.raises(DatabaseChangeForbiddenError, match=r"(?i)change status_process: grant UPDATE on it"):
        await tables.clear(one)
    assert names(await tables.in_alarm()) == {"1": "one"}
    await database.close()


def reader_of(engine: ServerDatabase, table: str = "") -> str:
    """Return the URL of a user who may only read, all tables or one."""
    name = f"reader_of_{engine.name}"
    if engine.dialect == "mysql":
        engine.server.execute(
            f"CREATE USER '{name}'@'%' IDENTIFIED BY 'password';"
            f"GRANT SELECT ON `{engine.name}`.{table or '*'} TO '{name}'@'%'"
        )
    else:
        what = table or "ALL TABLES IN SCHEMA public"
        engine.server.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'password'; GRANT SELECT ON {what} TO {name}", engine.name
        )
    return f"{engine.url.partition('://')[0]}://{name}:password@127.0.0.1:{engine.server.port}/{engine.name}"


@pytest.mark.parametrize("engine", ["postgres", "mariadb"], indirect=True)
async def test_a_user_who_may_write_the_one_column_is_enough(engine: ServerDatabase) -> None:
    """SELECT on the tables and UPDATE on `alarma` are all that is needed."""
    made(engine, {1: "one"}, {1: 1})
    url = reader_of(engine)
    table = "STATUS_PROCESS" if engine.dialect == "postgresql" else f"`{engine.name}`.STATUS_PROCESS"
    user = f"reader_of_{engine.name}" if engine.dialect == "postgresql" else f"'reader_of_{engine.name}'@'%'"
    engine.server.execute(f"GRANT UPDATE (alarma) ON {table} TO {user}", engine.name)
    database = open_database("monitoring", options_from_url(url))
    tables = await found(database, PLANT)
    assert [await tables.clear(one) for one in await tables.in_alarm()] == [1]
    await database.close()


async def test_a_file_that_cannot_be_written_is_said(monitor: FileDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everything: SQLite itself is told that the file is read-only."""
    made(monitor, {1: "one"}, {1: 1})
    database = open_database("monitoring", options_from_url(monitor.url))
    tables = await found(database, PLANT)
    (one,) = await tables.in_alarm()

    async def reading(*given: Any, writes: bool) -> Any:
        del writes
        return await opened(*given, writes=False)

    opened = drivers._sqlite
    monkeypatch.setattr(drivers, "_sqlite", reading)
    with pytest.raises(DatabaseFileForbiddenError, match="let this user write its file"):
        await tables.clear(one)
    await database.close()


async def test_a_missing_table_or_column_is_named(engine: EmptyDatabase, database: Database) -> None:
    with pytest.raises(TableMissingError, match="'PROCESE'"):
        await found(database, PLANT)
    made(engine, {}, {})
    with pytest.raises(TableMissingError, match="'NOWHERE'"):
        await found(database, replace(PLANT, statuses=StatusTable(table="NOWHERE")))
    with pytest.raises(ColumnMissingError, match=r"no column 'alarm' \(it has process_id, alarma, sound, notes\)"):
        await found(database, replace(PLANT, statuses=StatusTable(alarm="alarm")))


@pytest.mark.parametrize("engine", ["postgres", "mariadb"], indirect=True)
async def test_tables_that_may_not_be_read_are_said(engine: ServerDatabase) -> None:
    """Named, and with what to grant."""
    made(engine, {1: "one"}, {1: 1})
    database = open_database("monitoring", options_from_url(reader_of(engine, "STATUS_PROCESS")))
    with pytest.raises(DatabasePermissionError, match=r"(?i)procese.*: grant SELECT on it"):
        await (await found(database, PLANT)).in_alarm()
    await database.close()


async def test_names_may_be_anything(engine: EmptyDatabase, database: Database) -> None:
    """Identifiers are quoted by the dialect, never by hand; injection is a missing table."""
    quote = "`" if engine.dialect == "mysql" else '"'
    q = [f"{quote}{name}{quote}" for name in ("order", "my id; --", "Name", "group", "select")]
    engine.execute(
        f"CREATE TABLE {q[0]} ({q[1]} VARCHAR(20), {q[2]} VARCHAR(20));"
        f"CREATE TABLE {q[3]} ({q[1]} VARCHAR(20), {q[4]} INTEGER);"
        f"INSERT INTO {q[0]} VALUES ('a''b', 'web'); INSERT INTO {q[3]} VALUES ('a''b', 1)"
    )
    options = replace(
        PLANT,
        processes=ProcessTable(table="order", id="my id; --", name="Name"),
        statuses=StatusTable(table="group", id="my id; --", alarm="select"),
    )
    tables = await found(database, options)
    (one,) = await tables.in_alarm()
    assert (one.id, one.name) == ("a'b", "web")
    assert await tables.clear(one) == 1
    with pytest.raises(TableMissingError):
        await found(database, replace(options, statuses=StatusTable(table='group"; DROP TABLE "order"; --')))
    assert len(await tables.processes()) == 1


HOSTILE = ["two\nlines", "\x1b[31mred", "Żółw 🐢", "'; DROP TABLE PROCESE; --", "\u202eevil", " web ", "WEB", ""]


async def test_hostile_names_are_only_names(engine: EmptyDatabase, database: Database) -> None:
    """Each comes back as it is: spaces, case, ends of lines and quotes included."""
    made(engine, {}, {})
    table = sa.table("procese" if engine.dialect == "postgresql" else "PROCESE", sa.column("process_id"))
    texts = [name.replace("'", "''") for name in HOSTILE]
    engine.execute(
        "".join(
            f"INSERT INTO PROCESE VALUES ({number}, '{text}');INSERT INTO STATUS_PROCESS VALUES ({number}, 1, 0, NULL);"
            for number, text in enumerate(texts)
        )
    )
    found_names = names(await (await found(database, PLANT)).in_alarm())
    assert found_names == {str(number): name for number, name in enumerate(HOSTILE)}
    assert len((await database.fetch(sa.select(table.c.process_id))).rows) == len(HOSTILE)


async def test_a_name_may_hold_bytes_that_are_no_text(monitor: FileDatabase) -> None:
    """SQLite keeps whatever it is given: NUL, what is no UTF-8, a megabyte, and no name at all."""
    monitor.execute(
        "CREATE TABLE PROCESE (process_id, process_name); CREATE TABLE STATUS_PROCESS (process_id, alarma);"
        "INSERT INTO PROCESE VALUES (1, CAST(x'61006200' AS TEXT)), (2, x'ff41'), (3, CAST(x'eda080' AS TEXT)),"
        " (4, printf('%.*c', 1048576, 'x')), (5, NULL), (NULL, 'nobody'), (2.5, 'half'), (7.0, 8);"
        "INSERT INTO STATUS_PROCESS SELECT process_id, 1 FROM PROCESE"
    )
    database = open_database("monitoring", options_from_url(monitor.url))
    processes = {one.id: one.name for one in await (await found(database, PLANT)).in_alarm()}
    await database.close()
    assert processes.pop("4") == "x" * 1_048_576
    assert processes == {"1": "a\0b\0", "2": "\ufffdA", "3": "\ufffd" * 3, "5": None, "2.5": "half", "7": "8"}


@pytest.mark.parametrize(
    ("engine", "type_", "alarm", "calm"),
    [
        ("postgres", "BOOLEAN", "true", "false"),
        ("postgres", "NUMERIC(5, 2)", "0.5", "0.00"),
        ("postgres", "BIGINT", "-1", "0"),
        ("mariadb", "BIT(1)", "b'1'", "b'0'"),
        ("mariadb", "BOOLEAN", "true", "false"),
        ("mariadb", "DOUBLE", "0.5", "0"),
        ("sqlite", "BOOLEAN", "1", "0"),
        ("sqlite", "TEXT", "'1'", "'no number'"),
        ("sqlite", "", "0.5", "''"),
    ],
    indirect=["engine"],
)
async def test_an_alarm_is_a_number_of_any_type(
    engine: EmptyDatabase, database: Database, type_: str, alarm: str, calm: str
) -> None:
    """It is found and cleared alike, whatever the column is."""
    engine.execute(
        "CREATE TABLE PROCESE (process_id INT PRIMARY KEY, process_name VARCHAR(255) NOT NULL);"
        f"CREATE TABLE STATUS_PROCESS (process_id BIGINT, alarma {type_}, sound INT, notes TEXT);"
        "INSERT INTO PROCESE VALUES (1, 'loud'), (2, 'calm');"
        f"INSERT INTO STATUS_PROCESS VALUES (1, {alarm}, 1, 'n'), (2, {calm}, 1, 'n')"
    )
    tables = await found(database, PLANT)
    (one,) = await tables.in_alarm()
    assert (one.id, one.name) == ("1", "loud")
    assert await tables.clear(one) == 1
    assert await tables.in_alarm() == ()


@pytest.mark.parametrize(
    ("engine", "type_"),
    [("postgres", "TEXT"), ("postgres", "BIT(1)"), ("mariadb", "ENUM('0', '1')"), ("mariadb", "VARCHAR(5)")],
    indirect=["engine"],
)
async def test_a_column_that_is_no_number_is_refused(engine: EmptyDatabase, database: Database, type_: str) -> None:
    """MySQL counts the words of an ENUM from 1: '0' would be an alarm."""
    engine.execute(
        "CREATE TABLE PROCESE (process_id INT, process_name VARCHAR(255));"
        f"CREATE TABLE STATUS_PROCESS (process_id INT, alarma {type_})"
    )
    with pytest.raises(AlarmColumnTypeError, match=r"'alarma' .* name another one"):
        await found(database, PLANT)


@pytest.mark.parametrize("kind", ["INTEGER", "BIGINT", "VARCHAR(40)", "NUMERIC(20)"])
async def test_a_number_may_be_of_any_type(engine: EmptyDatabase, database: Database, kind: str) -> None:
    """What the database gave is what it is asked with; as a text it is the same."""
    engine.execute(
        f"CREATE TABLE PROCESE (process_id {kind}, process_name VARCHAR(255));"
        f"CREATE TABLE STATUS_PROCESS (process_id {kind}, alarma {SOUND[engine.dialect]});"
        "INSERT INTO PROCESE VALUES ('123', 'web'); INSERT INTO STATUS_PROCESS VALUES ('123', 1)"
    )
    tables = await found(database, PLANT)
    (one,) = await tables.in_alarm()
    assert one.id == "123"
    assert await tables.clear(one) == 1


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_a_schema_and_upper_case_names(engine: ServerDatabase, database: Database) -> None:
    """`schema` says where the tables are; a name that is there as it is written comes before one in small letters."""
    engine.execute(
        'CREATE SCHEMA plant; CREATE TABLE plant."PROCESE" (process_id INT, process_name TEXT);'
        "CREATE TABLE plant.procese (process_id INT, process_name TEXT);"
        "CREATE TABLE plant.status_process (process_id INT, alarma INT);"
        "INSERT INTO plant.\"PROCESE\" VALUES (1, 'upper'); INSERT INTO plant.procese VALUES (1, 'lower');"
        "INSERT INTO plant.status_process VALUES (1, 1);"
        f'GRANT USAGE ON SCHEMA plant TO "{engine.user}"; GRANT ALL ON ALL TABLES IN SCHEMA plant TO "{engine.user}"'
    )
    tables = await found(database, replace(PLANT, schema="plant"))
    (one,) = await tables.in_alarm()
    assert one.name == "upper"
    assert await tables.clear(one) == 1
    with pytest.raises(TableMissingError, match="PROCESE"):
        await found(database, PLANT)


async def test_more_than_the_row_limit_is_an_error(engine: EmptyDatabase, database: Database) -> None:
    """Nothing is cut off silently: exactly as many as the limit are read, one more is none."""
    made(engine, {}, {})
    limit = database.options.row_limit
    count = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
    engine.execute(
        ("SET max_recursive_iterations = 20000;" if engine.dialect == "mysql" else "")
        + f"INSERT INTO PROCESE {count} SELECT i, 'process' FROM n;"
        f"INSERT INTO STATUS_PROCESS {count} SELECT i, 1, 0, 'n' FROM n"
    )
    tables = await found(database, PLANT)
    assert len(await tables.in_alarm()) == len(await tables.processes()) == limit == 10_000
    engine.execute("INSERT INTO PROCESE VALUES (0, 'one more'); INSERT INTO STATUS_PROCESS VALUES (0, 1, 0, 'n')")
    for read in (tables.in_alarm, tables.processes):
        with pytest.raises(RowLimitError):
            await read()
