"""`watchbridge store` as people run it: what it says, where, and with which exit status."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from exporter.cli.store import command
from exporter.errors import BackupError, StoreBusyError, StoreError
from exporter.store import schema
from exporter.store.collector_runs import recall, remember
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = {("packages", "npm"): 5.0}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def rows_of(url: str, new: dict[tuple[str, str], float] | None = None) -> dict[tuple[str, str], float]:
    """Write rows, when given, and return what the store holds."""

    async def work() -> dict[tuple[str, str], float]:
        store = await Store.open(StoreOptions.from_scalar(url), time, exclusive=False)
        try:
            await remember(store, new or {})
            return await recall(store)
        finally:
            await store.close()

    return asyncio.run(work())


def test_upgrade_says_what_is_there(url: str) -> None:
    """An upgrade makes or leaves the schema and says which one it is, and when the store is new, on standard error."""
    for beginning in ("Made a new store, where there was none: ", "The store "):
        result = run("upgrade", "--store", url)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.startswith(beginning)
        assert f"has the schema {schema.HEAD}." in result.stderr
        assert "password" not in result.stderr


def test_backup_and_restore(new_url: Callable[[str], str], tmp_path: Path) -> None:
    """A store goes to a file and from there to another engine, and each step says what it did."""
    first, second, file = new_url("sqlite"), new_url("postgres"), tmp_path / "store.backup"
    rows_of(first, ROWS)
    assert f"Wrote 1 row of 17 tables to {file}." in run("backup", file, "--store", first).stderr
    assert f"Restored 1 row of 17 tables from {file}." in run("restore", file, "--store", second).stderr
    assert rows_of(second) == ROWS
    assert isinstance(run("backup", file, "--store", first).exception, BackupError)
    assert run("backup", file, "--force", "--store", first).exit_code == 0
    assert isinstance(run("restore", file, "--store", second).exception, BackupError)
    assert run("restore", file, "--force", "--store", second).exit_code == 0


@pytest.mark.parametrize("flag", ["--config", "--config.file"])
def test_store_of_the_configuration(flag: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    """The store is the one that the configuration names."""
    url, config = new_url("sqlite"), tmp_path / "watchbridge.yml"
    config.write_text(f"store: {url}\n")
    result = run("upgrade", flag, config)
    assert (result.exit_code, result.exception) == (0, None)
    assert url.removeprefix("sqlite:///") in result.stderr


def test_backup_of_no_store_makes_none(tmp_path: Path) -> None:
    """A backup of a file that is missing is an error and makes neither a store nor a backup."""
    result = run("backup", tmp_path / "b", "--store", f"sqlite:///{tmp_path}/data/absent.db")
    assert isinstance(result.exception, StoreError)
    assert "no such file" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


async def test_restore_beside_a_server_is_refused(new_url: Callable[[str], str], tmp_path: Path) -> None:
    """A backup works beside a running server; a restore does not."""
    url, file = new_url("sqlite"), tmp_path / "store.backup"
    server = await Store.open(StoreOptions.from_scalar(url), time, exclusive=True)
    assert (await asyncio.to_thread(run, "backup", file, "--store", url)).exit_code == 0
    refused = await asyncio.to_thread(run, "restore", file, "--store", url)
    await server.close()
    assert isinstance(refused.exception, StoreBusyError)


def test_two_stores_at_once_are_a_usage_error(tmp_path: Path) -> None:
    """Naming the store twice is a mistake of the caller."""
    (tmp_path / "c.yml").touch()
    result = run("upgrade", "--store", "sqlite:///x.db", "--config", tmp_path / "c.yml")
    assert (result.exit_code, "not both" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["upgrade", "backup", "restore"])
def test_help(name: str) -> None:
    """Each command explains itself without opening anything."""
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "--store" in result.stdout
