"""The migrations make the schema of `tables`, once, whoever starts them, and never touch a newer one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import exporter.store
from exporter.errors import StoreBusyError, StoreError, StoreNewerError
from exporter.store import collector_runs, schema
from exporter.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

OPEN = """
import asyncio, sys, time
from exporter.store.options import StoreOptions
from exporter.store.store import Store
async def main():
    store = await Store.open(StoreOptions.from_scalar(sys.argv[1]), time, exclusive=False)
    await store.close()
asyncio.run(main())
"""


def test_head_is_the_last_script() -> None:
    """The constant that spares importing Alembic names the last migration."""
    config = Config()
    config.set_main_option("script_location", str(Path(exporter.store.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


async def test_migrated_equals_fresh(url: str, open_store: Callable[..., Any]) -> None:
    """What the migrations made differs in nothing from the tables that the code declares."""
    store = await open_store(url)

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    def primary_keys(connection: Connection) -> dict[str, list[str]]:
        return {t: inspect(connection).get_pk_constraint(t)["constrained_columns"] for t in metadata.tables}

    async with store.reading() as connection:
        assert await connection.run_sync(differences) == []
        expected = {name: [key.name for key in table.primary_key] for name, table in metadata.tables.items()}
        assert await connection.run_sync(primary_keys) == expected


async def test_second_open_changes_nothing(url: str, open_store: Callable[..., Any]) -> None:
    """An upgrade of a store that is up to date leaves it and its rows alone."""
    first = await open_store(url)
    assert first.revision == schema.HEAD
    await collector_runs.remember(first, {("packages", "npm"): 5.0})
    second = await open_store(url)
    async with second.writing(seconds=schema.UPGRADE_SECONDS) as connection:
        await schema.upgrade(connection, second.where)
    assert await collector_runs.recall(second) == {("packages", "npm"): 5.0}


async def test_start_without_migration_imports_no_alembic(new_url: Callable[[str], str]) -> None:
    """A store that is up to date opens without the half second that Alembic takes to import."""
    url = new_url("sqlite")
    for expected in (True, False):
        code = OPEN + f"sys.exit(('alembic' in sys.modules) != {expected})"
        assert await asyncio.to_thread(subprocess.call, [sys.executable, "-c", code, url], timeout=60) == 0


def test_processes_that_migrate_at_once(url: str) -> None:
    """Of several processes that find an empty store one migrates it and the others wait: all succeed."""
    argv = [sys.executable, "-c", OPEN, url]
    processes = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ends = [(process.communicate(timeout=90)[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 4


async def test_cut_short_on_mysql_goes_on(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """Where each schema statement commits by itself, a table that was made but not noted is no error."""
    url = new_url("mariadb")
    store = await open_store(url)
    async with store.writing() as connection:
        await connection.execute(text("DELETE FROM alembic_version"))
    again = await open_store(url)
    async with again.reading() as connection:
        assert await schema.revision(connection, again.where) == schema.HEAD


async def test_migration_that_fails_leaves_nothing(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """Where a schema change is a transaction, a migration that fails half way is undone whole."""
    for engine in ("sqlite", "postgres"):
        url = new_url(engine)
        raw = await open_store(url)
        async with raw.writing() as connection:
            await connection.execute(text("DROP TABLE alembic_version"))
        with pytest.raises(StoreError, match=r"collector_runs.* already exists"):
            await open_store(url)
        async with raw.reading() as connection:
            assert await schema.revision(connection, "here") is None


async def test_newer_schema_is_refused_untouched(url: str, open_store: Callable[..., Any]) -> None:
    """A store of a newer program is refused with both revisions named, and keeps every row."""
    store = await open_store(url)
    await collector_runs.remember(store, {("packages", "npm"): 5.0})
    async with store.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreNewerError, match=rf"schema 9999, .* {schema.HEAD}:") as caught:
        await open_store(url, exclusive=True)
    assert caught.value.exit_code == 2
    assert await collector_runs.recall(store) == {("packages", "npm"): 5.0}


async def test_database_of_another_program_is_refused(url: str, open_store: Callable[..., Any]) -> None:
    """A database that another program migrates with Alembic is not taken over."""
    store = await open_store(url)
    async with store.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'ae1027a6acf'"))
    with pytest.raises(StoreError, match="database of its own"):
        await open_store(url)


async def test_older_schema_under_a_running_server_waits(
    new_url: Callable[[str], str], open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer program's command does not migrate the SQLite store of a server that still runs."""
    url = new_url("sqlite")
    server = await open_store(url, exclusive=True)
    async with server.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    monkeypatch.setattr(schema, "UPGRADE_SECONDS", 2.0)
    with pytest.raises(StoreBusyError, match="stop it first"):
        await open_store(url)
